"""What a source of photographs can do about pictures that a Backbone cannot take as they are.

A layer before it would help as well, but it would be random, and what trained weights want of their inputs would no
longer be known.
"""

from __future__ import annotations

from dataclasses import replace

from engine.calls import Call, parse_call
from engine.catalogue import find, placed
from engine.data.photographs import Photographs
from engine.fixes import Fix
from engine.freezing import BACKBONE
from engine.nodes import Problem


def in_the_source(problem: Problem, source: Call, shape: tuple[int, ...]) -> Problem:
    """The problem with a fix of the source, where photographs of `shape` reach a Backbone as they are."""
    fix, entry = problem.fix, find("sources", source.name)
    photographs = isinstance(entry.target, type) and issubclass(entry.target, Photographs)
    as_they_are = problem.call.startswith(f"{BACKBONE}(") and problem.found == shape
    if fix is None or fix.action != "insert" or not (photographs and as_they_are):
        return problem
    given, layer = placed(entry, source), parse_call(fix.call)
    if layer.name == "Conv2d":
        given.pop("colour", None)
        text = "leave colour=False out of the source"
    elif layer.name == "Upsample" and isinstance(size := layer.args[0], int):
        given["size"] = size
        before = given.get("resize_size")
        if isinstance(before, int) and before < size:
            del given["resize_size"]
        text = f"write size={size} in the source"
    else:
        return problem
    call = Call(source.name, (given.pop("path"),), tuple(given.items()))
    message = problem.message.removesuffix(f"; {fix.text}")
    return replace(problem, message=f"{message}; {text}", fix=Fix(text, "replace", "data.source", str(call)))
