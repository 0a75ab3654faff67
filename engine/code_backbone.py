"""A Backbone as plain torchvision code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.backbone_rows import measured
from engine.backbones import below, drop_auxiliary, head_paths, meta_model, transforms_input
from engine.errors import RequestError
from engine.losses import AUXILIARY
from engine.nodes import Node
from engine.weight_filling import filled_anew

IMPORTS = {"from torchvision import models"}
_TUPLES = {"inception_v3": "InceptionOutputs", "googlenet": "GoogLeNetOutputs"}

_HEAD = '''
def backbone(name, weights=None, anew=(), until=None, without=(), auxiliary=True, **options):
    """A network of torchvision; what is anew, such as a head for other classes, stays as it was drawn."""
    model = models.get_model(name, weights=None, **options)
    if weights is not None:
        with torch.random.fork_rng():
            state = models.get_model(name, weights=weights).state_dict()
        own = model.state_dict()
        for key in [key for key in state if key not in own or key.startswith(anew)]:
            del state[key]
        model.load_state_dict(state, strict=False)
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
        cut(model, until, without)
"""
# As engine.backbone_cut does it: the class is what changes, so that copies of the model are cut, too.
_CUT = '''
class Reached(Exception):
    """The module that a model ends with is done."""


def leave(module, inputs, output):
    raise Reached(output)


def cut(model, until, without):
    """Let a model end with one of its modules, without what has no part in that."""

    class Cut(type(model)):
        def forward(self, x):
            try:
                super().forward(x)
            except Reached as reached:
                return reached.args[0]

    model.__class__ = Cut
    for path in without:
        above, _, name = path.rpartition(".")
        setattr(model.get_submodule(above), name, None)
    model.get_submodule(until).register_forward_hook(leave)

'''


def definition(nodes: Iterable[Node]) -> str:
    """The function that the script makes its backbones with: no more of it than they need."""
    nodes, text = tuple(nodes), _HEAD
    if any(node.arguments["name"] in _TUPLES for node in nodes):
        text = text.replace(_FORKED, _KEPT + _FORKED).replace("weights=weights)", "weights=weights, **kept)")
        text += _AUXILIARY
    if any(node.arguments.get("until") is not None for node in nodes):
        text = _CUT + text + _UNTIL
    return text + "    return model\n"


def arguments(node: Node) -> list[tuple[str, object]]:
    """What `backbone` is called with in the script. Raises RequestError for weights that only layerlab can find."""
    given: dict[str, Any] = node.arguments
    name, weights, until = given["name"], given.get("weights", "DEFAULT"), given.get("until")
    if isinstance(weights, str) and weights.startswith(("run:", "file:")):
        raise RequestError(
            f"no script is written for weights='{weights}': it would need layerlab to read them; with "
            "weights='DEFAULT', another name of torchvision's, or None there is one"
        )
    found: list[tuple[str, object]] = [("weights", weights)] if weights is not None else []
    anew = (*(head_paths(name) if until is None else ()), *filled_anew(node))
    if weights is not None and anew:
        found.append(("anew", tuple(f"{path}." for path in anew)))
    if until is None:
        found.append(("num_classes", given["num_classes"]))
    else:
        found += [("until", until), ("without", _cut_off(node))]
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


def _cut_off(node: Node) -> tuple[str, ...]:
    """The largest modules, and the parameters beside them, of which a cut Backbone has nothing."""
    given: dict[str, Any] = node.arguments
    kept = measured(node).kept
    model = meta_model(given["name"], input_shape=tuple(given["input_shape"]))
    drop_auxiliary(model)
    named = [*model.named_modules(), *model.named_parameters()]
    found: list[str] = []
    for path, _ in named:
        if path and path not in kept and not below(path, found):
            found.append(path)
    return tuple(found)


def auxiliary_shares(nodes: tuple[Node, ...]) -> tuple[float, ...]:
    """What the losses of auxiliary heads count beside that of the output; () without such heads."""
    last: Mapping[str, Any] = nodes[-1].arguments if nodes else {}
    return AUXILIARY[_TUPLES[last["name"]]] if last.get("auxiliary") else ()
