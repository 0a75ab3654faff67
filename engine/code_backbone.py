"""A Backbone as plain torchvision code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.backbones import head_paths, transforms_input
from engine.errors import RequestError
from engine.losses import AUXILIARY
from engine.nodes import Node

IMPORTS = {"from torchvision import models"}
CUT_IMPORT = "from torchvision.models.feature_extraction import create_feature_extractor"
_TUPLES = {"inception_v3": "InceptionOutputs", "googlenet": "GoogLeNetOutputs"}

_HEAD = '''
def backbone(name, weights=None, head=(), until=None, auxiliary=True, **options):
    """A network of torchvision; its head is for other classes than the weights are for, and stays as it was drawn."""
    model = models.get_model(name, weights=None, **options)
    if weights is not None:
        with torch.random.fork_rng():
            state = models.get_model(name, weights=weights).state_dict()
        own = model.state_dict()
        fitting = {key: value for key, value in state.items() if key in own and not key.startswith(head)}
        model.load_state_dict(fitting, strict=False)
'''
_FORKED = "        with torch.random.fork_rng():\n"
# Without being asked to, torchvision leaves the auxiliary heads of GoogLeNet out of what it reads.
_KEPT = '        kept = {"aux_logits": True} if auxiliary and hasattr(model, "aux_logits") else {}\n'
_AUXILIARY = """    if not auxiliary:
        model.aux_logits = False
        for head in ("AuxLogits", "aux1", "aux2"):
            if hasattr(model, head):
                setattr(model, head, None)
"""
_UNTIL = """    if until is not None:
        model = create_feature_extractor(model, {until: "features"})
        model.register_forward_hook(lambda module, inputs, outputs: outputs["features"])
"""


def definition(nodes: Iterable[Node]) -> str:
    """The function that the script makes its backbones with: no more of it than they need."""
    nodes, text = tuple(nodes), _HEAD
    if any(node.arguments["name"] in _TUPLES for node in nodes):
        text = text.replace(_FORKED, _KEPT + _FORKED).replace("weights=weights)", "weights=weights, **kept)")
        text += _AUXILIARY
    if any(node.arguments.get("until") is not None for node in nodes):
        text += _UNTIL
    return text + "    return model\n"


def imports(nodes: Iterable[Node]) -> set[str]:
    """The import lines that `definition` needs."""
    return IMPORTS | {CUT_IMPORT for node in nodes if node.arguments.get("until") is not None}


def arguments(node: Node) -> list[tuple[str, object]]:
    """What `backbone` is called with in the script. Raises RequestError for weights that only layerlab can find."""
    given: dict[str, Any] = node.arguments
    name, weights, until = given["name"], given.get("weights", "DEFAULT"), given.get("until")
    if isinstance(weights, str) and weights.startswith(("run:", "file:")):
        raise RequestError(f"no code is written for weights='{weights}'; torchvision's own weights have some")
    found: list[tuple[str, object]] = [("weights", weights)] if weights is not None else []
    if weights is not None and until is None:
        found.append(("head", tuple(f"{path}." for path in head_paths(name))))
    if until is None:
        found.append(("num_classes", given["num_classes"]))
    else:
        found.append(("until", until))
    if name in _TUPLES:
        if not given["auxiliary"]:
            found.append(("auxiliary", False))
        found += [("init_weights", weights is None), ("transform_input", transforms_input(name, weights))]
    size = given["input_shape"][-1]
    if name.startswith("vit_"):
        found.append(("image_size", size))
    elif name.startswith("maxvit"):
        found.append(("input_size", tuple(given["input_shape"][-2:])))
    return found


def auxiliary_shares(nodes: tuple[Node, ...]) -> tuple[float, ...]:
    """What the losses of auxiliary heads count beside that of the output; () without such heads."""
    last: Mapping[str, Any] = nodes[-1].arguments if nodes else {}
    return AUXILIARY[_TUPLES[last["name"]]] if last.get("auxiliary") else ()
