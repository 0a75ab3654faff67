"""A call taken apart into arguments and put together again, and what + and - make of numbers."""

from __future__ import annotations

import importlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import catalogue
from engine.calls import parse_call
from engine.errors import RequestError
from tui.arguments import UNSET, CallDraft
from tui.screens.call_picker import begun, offered
from tui.stepping import near_one, round_number, stepped, whole

CALLS = [
    ("layers", "Conv2d(32, 3, padding=1)"),
    ("layers", "Conv2d(32, kernel_size=3)"),
    ("layers", "Residual(Conv2d(8, 3, padding=1), ReLU(), shortcut=Conv2d(8, 1))"),
    ("layers", "Repeat(2, ReLU(), ReLU())"),
    ("layers", "Parallel(Linear(3), Linear(4), merge='add')"),
    ("layers", "Reshape(1, 2, 3)"),
    ("layers", "Linear(300, init=xavier_uniform_(gain=2.0), frozen=True)"),
    ("layers", "Linear(classes)"),
    ("losses", "CrossEntropyLoss(weight=(1, 2))"),
    ("optimizers", "SGD(0.01, momentum=0.9)"),
    ("schedulers", "SequentialLR(schedulers=(LinearLR(), StepLR(7)), milestones=(3,))"),
    ("sources", "CSV('a.csv', target='y')"),
    ("augmentations", "RandomCrop(28, padding=2)"),
    ("validations", "holdout(0.2)"),
    ("tasks", "Regression(standardize=False)"),
    ("initialisers", "kaiming_normal_(nonlinearity='relu')"),
]


@pytest.mark.parametrize(("kind", "text"), CALLS)
def test_a_call_that_is_not_changed_stays_as_it_was_written(kind: str, text: str) -> None:
    assert str(CallDraft(kind, parse_call(text)).call()) == text


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_every_name_of_the_catalogue_has_a_form(kind: str) -> None:
    for name in catalogue.entries(kind):
        draft = CallDraft(kind, parse_call(f"{name}()"))
        assert str(draft.call()) == f"{name}()"
        for index, argument in enumerate(draft.arguments):
            assert argument.form in ("flag", "choice", "number", "text", "call")
            draft.cycle(index)
            draft.step(index, 1)
            draft.reset(index)
            assert argument.text is not None
        assert str(draft.call()) == f"{name}()"


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(catalogue.entries("layers"))), seed=st.randoms(use_true_random=False))
def test_what_a_form_gives_is_bound_to_the_arguments_that_it_shows(name: str, seed: object) -> None:
    draft = CallDraft("layers", parse_call(f"{name}()"))
    for index, argument in enumerate(draft.arguments):
        if argument.form == "number" and seed.random() < 0.5:  # type: ignore[attr-defined]
            draft.put(index, (2,) if argument.variadic else 2)
        elif seed.random() < 0.5:  # type: ignore[attr-defined]
            draft.cycle(index)
    given_values = {
        argument.name: argument.value
        for argument in draft.arguments
        if argument.value is not UNSET and argument.value != ()
    }
    assert catalogue.placed(draft.entry, draft.call()) == given_values


def test_pytorchs_own_form_becomes_the_short_one_and_keeps_the_size_that_was_given() -> None:
    call = CallDraft("layers", parse_call("nn.Conv2d(1, 32, 3)")).call()
    assert str(call) == "Conv2d(32, 3, in_channels=1)"
    assert catalogue.shorten("layers", call)[0] == parse_call("Conv2d(32, 3)")


def test_values_are_read_as_a_person_types_them() -> None:
    draft = CallDraft("layers", parse_call("Conv2d(32, 3)"))
    names = [argument.name for argument in draft.arguments]
    draft.put_text(names.index("padding_mode"), "reflect")
    draft.put_text(names.index("padding"), "same")
    draft.put_text(names.index("kernel_size"), "(3, 5)")
    draft.put_text(names.index("init"), "kaiming_normal_(mode='fan_out')")
    text = "Conv2d(32, (3, 5), padding='same', padding_mode='reflect', init=kaiming_normal_(mode='fan_out'))"
    assert str(draft.call()) == text
    assert draft.wrong() == ""
    draft.put_text(names.index("padding_mode"), "")
    assert "padding_mode" not in str(draft.call())


def test_what_is_wrong_is_told_before_it_is_taken() -> None:
    draft = CallDraft("layers", parse_call("Conv2d()"))
    assert "out_channels and kernel_size are missing" in draft.wrong()
    names = [argument.name for argument in draft.arguments]
    assert "wants a whole number" in draft.wrong_text(names.index("out_channels"), "wide")
    assert draft.wrong_text(names.index("out_channels"), "32 +")
    assert draft.wrong_text(names.index("out_channels"), "classes") == ""
    with pytest.raises(RequestError, match="did you mean"):
        CallDraft("layers", parse_call("Linera(3)"))
    with pytest.raises(RequestError, match="no argument"):
        CallDraft("layers", parse_call("Linear(3, wide=4)"))


def test_flags_and_choices_go_round_and_leave_the_default_out() -> None:
    draft = CallDraft("losses", parse_call("CrossEntropyLoss()"))
    optimizer = CallDraft("optimizers", parse_call("SGD(lr=0.1)"))
    names = [argument.name for argument in optimizer.arguments]
    optimizer.cycle(names.index("nesterov"))
    assert str(optimizer.call()) == "SGD(lr=0.1, nesterov=True)"
    optimizer.cycle(names.index("nesterov"))
    assert str(optimizer.call()) == "SGD(lr=0.1)"
    assert not draft.cycle([argument.name for argument in draft.arguments].index("ignore_index"))


def test_numbers_step_by_what_they_are_for() -> None:
    assert [stepped("lr", 0.01, step) for step in (1, -1)] == [0.02, 0.005]
    assert [stepped("momentum", value, 1) for value in (0.0, 0.9, 0.95)] == [0.5, 0.95, 0.98]
    assert stepped("betas", (0.9, 0.999), 1) == (0.95, 0.9995)
    assert [stepped("out_features", value, 1) for value in (64, 300, 10)] == [128, 310, 11]
    assert stepped("kernel_size", 1, -1) is None
    assert stepped("dim", 0, -1) == -1
    assert stepped("p", 0.5, 1) == 0.55
    assert stepped("path", "text", 1) is None
    assert stepped("bias", True, 1) is None


@given(st.floats(1e-8, 1e8))
def test_a_round_number_is_above_and_the_next_below_it_is_not(value: float) -> None:
    above = round_number(value, 1)
    assert value < above <= value * 2.51
    digit = above / 10 ** math.floor(math.log10(above) + 1e-9)
    assert min(abs(digit - wanted) for wanted in (1, 2, 5, 10)) < 1e-6
    assert round_number(above, -1) <= value * (1 + 1e-8)


@given(st.floats(0.5, 0.9999))
def test_a_share_near_one_comes_nearer_and_never_beyond(value: float) -> None:
    assert value < near_one(value, 1) <= 1
    assert 0 <= near_one(value, -1) < value


@given(st.integers(0, 10**6), st.sampled_from([1, -1]), st.booleans())
def test_whole_numbers_step_towards_where_they_should_and_not_below_the_lowest(
    value: int, step: int, size: bool
) -> None:
    found = whole(value, step, size=size, lowest=0)
    assert found is None or (found >= 0 and (found - value) * step > 0)


def test_the_picker_offers_what_suits_first_and_says_why_the_rest_does_not() -> None:
    importlib.import_module("engine.check")  # the catalogue is there once the check is
    losses = offered("losses", "MSELoss()", task="Classification")
    assert losses[0].name == "MSELoss"
    assert losses[0].key == "now"
    reasons = {entry.name: entry.why_not for entry in losses}
    assert reasons["GaussianNLLLoss"] == "for Regression"
    assert reasons["CrossEntropyLoss"] == ""
    assert {entry.name: entry.why_not for entry in offered("tasks", "Regression()", data="classes")}[
        "Regression"
    ] == "the targets are classes"
    assert offered("schedulers", "", none=True)[0].name == "none"


def test_what_is_picked_again_keeps_its_arguments() -> None:
    assert str(begun("SGD", "SGD(lr=0.5)")) == "SGD(lr=0.5)"
    assert str(begun("Adam", "SGD(lr=0.5)")) == "Adam()"


def test_what_comes_behind_a_gap_or_a_name_gets_its_own_name() -> None:
    draft = CallDraft("layers", parse_call("Conv2d(out_channels=32)"))
    draft.put_text([argument.name for argument in draft.arguments].index("kernel_size"), "3")
    assert str(draft.call()) == "Conv2d(out_channels=32, kernel_size=3)"
    optimizer = CallDraft("optimizers", parse_call("SGD(0.01, 0.9)"))
    optimizer.reset(0)
    assert str(optimizer.call()) == "SGD(momentum=0.9)"
