"""Random streams are functions of their numbers, against published outputs of splitmix64."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.rng import Stream, generator, mix

numbers = st.integers(-(2**63), 2**64 - 1)


def test_mix_of_a_seed_alone_is_the_first_output_of_splitmix64():
    # Published first outputs, for instance of java.util.SplittableRandom(0) and of Vigna's splitmix64.c.
    assert mix(0) == 0xE220A8397B1DCDAF
    assert mix(1234567) == 6457827717110365317


@given(numbers, st.lists(numbers, max_size=4))
def test_mix_is_a_function_and_fits_64_bits(seed, rest):
    assert mix(seed, *rest) == mix(seed, *rest)
    assert 0 <= mix(seed, *rest) < 2**64


@given(numbers, numbers, numbers)
def test_two_different_last_numbers_never_give_the_same(seed, one, other):
    same = (one - other) % 2**64 == 0
    assert (mix(seed, one) == mix(seed, other)) == same


def test_order_and_number_of_numbers_count():
    assert len({mix(0), mix(0, 0), mix(0, 0, 0), mix(0, 1, 2), mix(0, 2, 1), mix(1, 0, 2), mix(1, 2)}) == 7


def test_neighbouring_epochs_share_no_draws():
    drawn = [torch.rand(100, generator=generator("cpu", 0, Stream.ORDER, epoch)) for epoch in range(20)]
    assert len({value for row in drawn for value in row.tolist()}) > 1990


def test_generator_repeats_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    first = torch.rand(5, generator=generator("cpu", 7, 1, 2))
    assert torch.equal(first, torch.rand(5, generator=generator("cpu", 7, 1, 2)))
    assert not torch.equal(first, torch.rand(5, generator=generator("cpu", 8, 1, 2)))
    assert torch.equal(before, torch.get_rng_state())
