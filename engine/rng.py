"""Random streams that are a function of numbers, never of a global generator's state.

Whoever needs randomness names it by numbers (the experiment's seed, what it is for, the epoch, the batch) and gets the
same stream for the same numbers. So a resume needs two integers, and looking at a model cannot change its training.
"""

from __future__ import annotations

from enum import IntEnum

import torch

_MASK = (1 << 64) - 1


class Stream(IntEnum):
    """What a stream is for: the first number after the seed, so that no two purposes share their draws."""

    SPLIT = 1
    ORDER = 2
    AUGMENT = 3


def _splitmix64(state: int) -> int:
    """The output of splitmix64 for one state.

    Constants from Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014), in Vigna's
    public-domain version, https://prng.di.unimi.it/splitmix64.c
    """
    z = (state + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def mix(seed: int, *numbers: int) -> int:
    """One number of 64 bits (0 to 2**64 - 1) from a seed and any further numbers, whose order counts.

    The state is scrambled by splitmix64 after every number, so that neighbours (epoch 1, epoch 2) share nothing.
    Numbers are taken modulo 2**64. For the same seed, two different last numbers never give the same result.
    """
    state = _splitmix64(seed & _MASK)
    for number in numbers:
        state = _splitmix64(state ^ (number & _MASK))
    return state


def generator(device: torch.device | str, seed: int, *numbers: int) -> torch.Generator:
    """A torch generator on `device`, seeded with `mix(seed, *numbers)`."""
    made = torch.Generator(device=device)
    made.manual_seed(mix(seed, *numbers))
    return made
