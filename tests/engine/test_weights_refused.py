"""Weights that cannot be used: which tensors are refused, what is fetched again, and what a check knows beforehand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.build import build_network
from engine.check import check
from engine.data.info import Place
from engine.errors import RequestError, RunError
from engine.state_files import read_state_dict
from engine.weights import fill, load_weights, weights_problem
from tests.engine.test_download import server  # noqa: F401  a fixture
from tests.engine.test_weights import (  # noqa: F401  fixtures among them
    FILE,
    fine_tuning,
    here,
    hub,
    kept,
    lay,
    offered,
    pictures,
    stack,
    state_of,
    train,
)

FIRST = "features.0.weight"


def loaded_of(folder: Path, state: object, *, until: str | None = "features.3"):
    """The first layers of a SqueezeNet with the weights of a file, mine.pt."""
    torch.save(state, folder / "mine.pt")
    cut = "" if until is None else f", until={until!r}"
    found = stack(f"Backbone('squeezenet1_1', weights='file:mine.pt'{cut})")
    network = build_network(found)
    fill(network, found, load_weights(found, here(folder), None))
    return network[0].state_dict()


# -- tensors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["sparse_coo", "sparse_csr", "meta"])
@pytest.mark.parametrize("name", [FIRST, "features.12.squeeze.weight"])
def test_tensors_that_are_not_dense_are_refused_by_name(tmp_path, form, name):
    # Also where the model wants nothing of them, as behind the module that it is cut after.
    dense = torch.randn(3, 3)
    odd = {"sparse_coo": dense.to_sparse(), "sparse_csr": dense.to_sparse_csr(), "meta": dense.to("meta")}[form]
    with pytest.raises(RequestError, match="save ") as caught:
        loaded_of(tmp_path, state_of() | {name: odd})
    for part in ("mine.pt", f"the tensor {name} is", form):
        assert part in str(caught.value)


@pytest.mark.parametrize("dtype", ["complex64", "int64", "int8", "bool", "uint8"])
def test_numbers_that_are_no_weights_are_refused_with_their_type(tmp_path, dtype):
    state = state_of()
    state[FIRST] = state[FIRST].to(getattr(torch, dtype))
    with pytest.raises(RequestError, match=f"{FIRST} is of the type {dtype} in them and of float32 here") as caught:
        loaded_of(tmp_path, state)
    assert "file:mine.pt" in str(caught.value)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn"])
def test_weights_of_any_floating_type_become_those_of_the_model(tmp_path, dtype):
    state = {name: tensor.to(getattr(torch, dtype)) for name, tensor in state_of().items()}
    for name, tensor in loaded_of(tmp_path, state).items():
        assert torch.equal(tensor, state[name].to(torch.float32)), name


def test_a_counter_that_was_saved_as_a_float_is_that_number(tmp_path):
    state = {name: tensor.double() for name, tensor in state_of("mobilenet_v2").items()}
    state["features.0.1.num_batches_tracked"].fill_(3)
    torch.save(state, tmp_path / "mine.pt")
    found = stack("Backbone('mobilenet_v2', weights='file:mine.pt', until='features.1')")
    network = build_network(found)
    fill(network, found, load_weights(found, here(tmp_path), None))
    assert network[0].state_dict()["features.0.1.num_batches_tracked"].equal(torch.tensor(3))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused_where_they_are_read(tmp_path, value):
    state = {name: tensor.double() for name, tensor in state_of().items()}
    state["features.3.squeeze.weight"][0, :2] = value
    with pytest.raises(RequestError, match=r"2 of the 1,024 values of features\.3\.squeeze\.weight") as caught:
        loaded_of(tmp_path, state)
    assert "file:mine.pt" in str(caught.value)
    with pytest.raises(RequestError, match="2 of the 1,024 values"):  # by reading alone, before there is a network
        load_weights(stack("Backbone('squeezenet1_1', weights='file:mine.pt')"), here(tmp_path), None)
    # What is cut off, and a head of another's classes, are no part of what is used.
    state["classifier.1.bias"][0] = state["features.12.squeeze.bias"][0] = value
    state["features.3.squeeze.weight"][0, :2] = 0
    loaded_of(tmp_path, state)


def test_a_run_on_weights_that_are_not_finite_blames_these_and_no_rate(tmp_path, pictures, hub):  # noqa: F811
    state = state_of()
    state["features.0.bias"].fill_(torch.nan)
    path = lay(hub, state)
    with pytest.raises(AssertionError) as caught:  # it did not finish: its reason
        train(fine_tuning("Backbone('squeezenet1_1')"), tmp_path / "runs", pictures)
    assert "64 of the 64 values of features.0.bias" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "learning rate" not in str(caught.value)
    # A run's are named by the run.
    found = stack("Backbone('squeezenet1_1', weights='run:x7')")
    with pytest.raises(RequestError, match="the weights 'run:x7' cannot be used: "):
        fill(build_network(found), found, {"0": state})


def test_what_pytorch_refuses_for_reasons_of_its_own_is_said_in_words(tmp_path):
    state = state_of()
    state._metadata[""] = 5  # it wants a table there
    with pytest.raises(RequestError, match=r"PyTorch does not take them; save the model's state_dict\(\) anew"):
        loaded_of(tmp_path, state)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zip", "before zip", "safetensors"])
def test_a_file_altered_anywhere_is_read_or_refused_in_words(tmp_path, form):
    state = {"weight": torch.randn(3, 2), "bias": torch.randn(3), "steps": torch.tensor(7)}
    path = tmp_path / ("mine.safetensors" if form == "safetensors" else "mine.pt")
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    whole, draw, refused = path.read_bytes(), random.Random(3), []
    for number in range(150):
        content = bytearray(whole)
        if number % 3 == 0:
            del content[draw.randrange(len(whole)) :]
        else:
            for _ in range(draw.choice([1, 30])):
                content[draw.randrange(len(whole))] = draw.randrange(256)
        path.write_bytes(content)
        try:
            found = read_state_dict(path)
        except RequestError as error:
            refused.append(str(error))
        else:
            assert all(tensor.layout == torch.strided for tensor in found.values())
    assert len(refused) > 50
    for message in refused:
        assert str(path) in message
        assert len(message) < len(str(path)) + 170
        assert not any(part in message for part in ("...", "orch", "rror"))


def test_torchvisions_own_file_that_is_cut_off_is_fetched_again_where_that_is_allowed(offered, hub, tmp_path):  # noqa: F811
    server, name = offered  # noqa: F811
    path, whole = hub / name[1:], server.files[name]
    hub.mkdir(parents=True)
    path.write_bytes(whole[: len(whole) // 2])
    found = stack("Backbone('squeezenet1_1')", "Identity()")
    with pytest.raises(RequestError, match="is damaged") as caught:
        load_weights(found, here(tmp_path), None)
    for part in (str(path), "delete it, or train with `--download`, which fetches it again", f"{name}"):
        assert part in str(caught.value)
    assert server.asked == []
    # A download that breaks off leaves what was there.
    server.short.add(name)
    with pytest.raises(RunError, match=r"is damaged; .*the connection ended after"):
        load_weights(found, here(tmp_path, True), None)
    assert path.read_bytes() == whole[: len(whole) // 2]
    server.short.clear()
    notes: list[str] = []
    weights = load_weights(found, here(tmp_path, True), None, notes=notes)
    assert path.read_bytes() == whole
    assert torch.equal(weights["0"][FIRST], state_of()[FIRST])
    assert notes == [f"{path} was damaged, and has been fetched again"]
    assert [one.name for one in hub.iterdir()] == [path.name]
    server.asked.clear()
    load_weights(found, here(tmp_path, True), None, notes=notes)
    assert (server.asked, len(notes)) == ([], 1)


def test_a_file_of_ones_own_under_torchvisions_name_is_kept_with_download(offered, hub, tmp_path):  # noqa: F811
    server, name = offered  # noqa: F811
    found = stack("Backbone('squeezenet1_1')", "Identity()")
    mine = state_of(seed=11)
    path = lay(hub, mine, name[1:])
    weights = load_weights(found, here(tmp_path, True), None)
    assert torch.equal(weights["0"][FIRST], mine[FIRST])
    # Nor one that is readable and of something else.
    lay(hub, [1, 2, 3], name[1:])
    before = path.read_bytes()
    with pytest.raises(RequestError, match="holds no state_dict"):
        load_weights(found, here(tmp_path, True), None)
    assert (path.read_bytes(), server.asked) == (before, [])


def test_a_model_cut_behind_its_head_has_torchvisions_head(hub, tmp_path):  # noqa: F811
    state = state_of()
    lay(hub, state)
    torch.save(state, tmp_path / "mine.pt")
    for weights in ("DEFAULT", "file:mine.pt"):
        found = stack(f"Backbone('squeezenet1_1', weights='{weights}', until='classifier')", "Flatten()")
        network = build_network(found)
        fill(network, found, load_weights(found, here(tmp_path), None))
        assert torch.equal(network[0].state_dict()["classifier.1.weight"], state["classifier.1.weight"])


# -- a run whose model was another part --------------------------------------------------------------------------------


def test_a_run_that_was_cut_gives_no_weights_for_more_of_the_model(tmp_path, pictures):  # noqa: F811
    store = tmp_path / "runs"
    tail = ("AdaptiveAvgPool2d(1)", "Flatten()", "Linear(classes)")
    first = train(fine_tuning("Backbone('squeezenet1_1', weights=None, until='features.5')", *tail), store, pictures)

    def problem(arguments: str, *behind: str):
        spec = fine_tuning(f"Backbone('squeezenet1_1', weights='run:{first.name}'{arguments})", *behind)
        return check(spec, Place(pictures), store).error

    for arguments, behind in (("", ()), (", until='features.9'", tail)):
        found = problem(arguments, *behind)
        assert found.path == "0"
        for part in (f"run {first.name} has trained squeezenet1_1 only up to 'features.5'", "features.6.squeeze.weight",
                     "write until='features.5' here too, or take another run"):  # fmt: skip
            assert part in found.message
    runs = list(store.iterdir())
    with pytest.raises(RequestError, match=r"only up to 'features\.5'"):
        train(fine_tuning(f"Backbone('squeezenet1_1', weights='run:{first.name}')"), store, pictures)
    assert list(store.iterdir()) == runs
    # As much of it, or less, is there; and what is filled anew is not needed.
    for until in ("features.5", "features.3"):
        assert problem(f", until='{until}'", *tail) is None
    anew = ", ".join(f"'features.{number}': normal_()" for number in (6, 7, 9, 10, 11, 12))
    assert problem(f", init={{{anew}}}") is None
    layers = (f"Backbone('squeezenet1_1', weights='run:{first.name}', until='features.3')", *tail)
    second = train(fine_tuning(*layers, optimizer="SGD(lr=0.0)"), store, pictures)
    assert torch.equal(kept(second, "step")[f"0.{FIRST}"], kept(first, "best")[f"0.{FIRST}"])


def test_a_whole_run_gives_weights_for_a_part_of_the_model_but_its_head(tmp_path, pictures):  # noqa: F811
    store = tmp_path / "runs"
    first = train(fine_tuning("Backbone('squeezenet1_1', weights=None)"), store, pictures)
    found = stack(f"Backbone('squeezenet1_1', weights='run:{first.name}', until='features.5')")
    assert weights_problem(found, here(tmp_path), store) is None
    network = build_network(found)
    fill(network, found, load_weights(found, here(tmp_path), store))
    assert torch.equal(network[0].state_dict()[FIRST], kept(first, "best")[f"0.{FIRST}"])
    behind = stack(f"Backbone('squeezenet1_1', weights='run:{first.name}', until='classifier')")
    message = weights_problem(behind, here(tmp_path), store).message
    assert f"run {first.name} has trained squeezenet1_1 with a head for its own classes" in message


def test_a_run_that_was_cut_behind_the_head_gives_its_head_to_another(tmp_path, pictures):  # noqa: F811
    store = tmp_path / "runs"
    layers = ("Flatten()", "Linear(classes)")
    first = train(fine_tuning("Backbone('squeezenet1_1', weights=None, until='classifier')", *layers), store, pictures)
    found = stack(f"Backbone('squeezenet1_1', weights='run:{first.name}', until='classifier')")
    assert weights_problem(found, here(tmp_path), store) is None
    network = build_network(found)
    fill(network, found, load_weights(found, here(tmp_path), store, classes=("cat", "dog")))
    assert torch.equal(network[0].state_dict()["classifier.1.bias"], kept(first, "best")["0.classifier.1.bias"])
    # A whole one has a head for the classes here.
    whole = stack(f"Backbone('squeezenet1_1', weights='run:{first.name}')")
    assert weights_problem(whole, here(tmp_path), store) is None
    fill(build_network(whole), whole, load_weights(whole, here(tmp_path), store, classes=("cat", "dog")))


def test_a_run_without_auxiliary_heads_gives_no_weights_for_them(tmp_path, pictures, hub):  # noqa: F811
    store = tmp_path / "runs"
    lay(hub, state_of("googlenet"), "googlenet-1378be20.pth")
    first = train(fine_tuning("Backbone('googlenet')", "Identity()"), store, pictures)
    weights = f"Backbone('googlenet', weights='run:{first.name}')"
    assert weights_problem(stack(weights, "Identity()"), here(tmp_path), store) is None
    message = weights_problem(stack(weights), here(tmp_path), store).message
    assert "without its auxiliary heads" in message
    assert "such as Identity()" in message
