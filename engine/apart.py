"""Small computations beside a training: in a thread that is gone afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """What `work` gives or raises, computed in a thread of its own.

    A thread that computes with torch keeps a pool of OpenMP threads for as long as it lives. As soon as all pools of a
    process have more threads than there are processors, libgomp no longer waits actively at the end of a parallel
    region but goes to sleep, and training small networks takes twice as long (measured on two processors: 1.7 s
    instead of 0.9 s for 900 steps). So nothing but the training may leave a pool behind.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="layerlab-apart", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def always_apart(work: Callable[P, T]) -> Callable[P, T]:
    """A function whose every call is made apart."""

    @wraps(work)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return apart(partial(work, *args, **kwargs))

    return call
