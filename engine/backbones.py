"""The classification networks of torchvision as one layer: built, cut, and frozen in part.

A backbone is torchvision's own model, so the names of its modules and of its weights are torchvision's.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.calls import Table
from engine.errors import RequestError, did_you_mean

IMAGENET = 1000  # classes of the data that torchvision's weights were trained on
WITH_AUXILIARY = ("inception_v3", "googlenet")
AUXILIARY_HEADS = ("AuxLogits", "aux1", "aux2")  # of these two


def Backbone(
    name: str,
    weights: str | None = "DEFAULT",
    until: str | None = None,
    frozen: str | tuple[str, ...] = "none",
    thaw: Table | None = None,
    lr_scale: float | Table = 1.0,
    init: Table | None = None,
    *,
    num_classes: int = IMAGENET,
    input_shape: tuple[int, ...] = (3, 224, 224),
    auxiliary: bool = False,
) -> nn.Module:
    """A classification network of torchvision, with trained weights and a head for the classes of the data.

    Its modules keep torchvision's names: in the first layer of a network, `layer4` of a ResNet is `0.layer4`. Input:
    (N, 3, height, width); output: (N, classes), with `until` what that module gives. inception_v3 and googlenet keep
    their auxiliary heads where they are the last layer, and their losses are added in training.

    Args:
        name: the model, as torchvision.models.get_model takes it: 'resnet18', 'vgg16', 'vit_b_16'
        weights: 'DEFAULT', another name of torchvision's such as 'IMAGENET1K_V1', None for random ones, 'run:RUN' for
            the best ones of a run, 'file:PATH' for a file with a state_dict
        until: the module after which it is cut, 'features.23' or 'layer3'; what comes behind, the head too, is gone
        frozen: 'none'; 'all' but the head; 'to:layer3' up to and with that module; or a tuple of modules
        thaw: which modules are frozen until which epoch: {5: 'layer4', 8: 'all'}; what of them frozen leaves out trains
            before, unless it leaves all of them out
        lr_scale: its share of the learning rate, or that of single modules: {'layer4': 0.1}
        init: modules that are filled anew, by an initialiser each: {'layer4': kaiming_normal_()}
    """
    from engine.backbone_shapes import measure

    keep = None
    if until is not None:
        keep = measure(name, weights, until, IMAGENET, tuple(input_shape), False).kept
    model = _model(name, weights, num_classes if until is None else IMAGENET, tuple(input_shape))
    if not auxiliary or until is not None:
        drop_auxiliary(model)
    if until is not None and keep is not None:
        from engine.backbone_cut import cut

        cut(model, until, keep)
    heads = () if until is not None else heads_of(model)
    still = set(frozen_paths(model, frozen, heads))
    for path, parameter in model.named_parameters():
        if path in still:
            parameter.requires_grad_(False)
    return model


@lru_cache(maxsize=1)
def backbone_names() -> tuple[str, ...]:
    """The names of all classification models of the installed torchvision."""
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


def check_name(name: str) -> None:
    """Raises RequestError where torchvision has no classification model of that name."""
    known = backbone_names()
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
        hint = f"did you mean '{close[0]}'?" if close else "`layerlab catalogue layers Backbone` names them"
        raise RequestError(f"torchvision has no model '{name}'; {hint}")


def torchvision_weights(name: str, weights: str | None) -> Any:
    """The member of torchvision's enumeration that `weights` names, or None for None, "run:..." and "file:...".

    Raises RequestError for a name that the model has no weights of.
    """
    if weights is None or weights.startswith(("run:", "file:")):
        return None
    import torchvision

    check_name(name)
    found = torchvision.models.get_model_weights(name)
    short = weights.rpartition(".")[2]  # ResNet18_Weights.DEFAULT, as it stands in a script
    if short not in found.__members__:
        known = list(found.__members__)
        hint = did_you_mean(weights, known).replace("`", "'") or f"there are {', '.join(known)}"
        raise RequestError(f"{name} has no weights '{weights}'; {hint}; None, 'run:RUN' and 'file:PATH' work as well")
    return found[short]


def fixed_size(name: str, weights: str | None) -> int | None:
    """Height and width that the weights want exactly, for models whose weights depend on it; None otherwise."""
    chosen = torchvision_weights(name, weights)
    if chosen is None or not name.startswith(("vit_", "maxvit")):
        return None
    return int(chosen.meta["min_size"][0])


@lru_cache(maxsize=128)
def smallest_size(name: str) -> int:
    """The smallest height and width that the model takes, as torchvision says with its weights."""
    import torchvision

    check_name(name)
    sizes = {max(member.meta["min_size"]) for member in torchvision.models.get_model_weights(name)}
    return int(min(sizes, default=1))


def transforms_input(name: str, weights: str | None) -> bool:
    """Whether a model changes its inputs first, as torchvision's weights of Inception v3 and GoogLeNet want it. So do
    those that a run has made of them; a run of other weights cannot give them (see `preprocessing.named_run`)."""
    return name in WITH_AUXILIARY and weights is not None and not weights.startswith("file:")


def _options(name: str, weights: str | None, num_classes: int, input_shape: tuple[int, ...]) -> dict[str, Any]:
    """What torchvision's builder is called with: what it sets itself where it loads weights, too."""
    options: dict[str, Any] = {"num_classes": Classes(num_classes)}
    if name in WITH_AUXILIARY:
        # Their own initialiser takes long, and weights replace it.
        options |= {"init_weights": weights is None, "transform_input": transforms_input(name, weights)}
    if name.startswith("vit_"):
        options["image_size"] = input_shape[-1]
    elif name.startswith("maxvit"):
        options["input_size"] = tuple(input_shape[-2:])
    return options


_FILLING = frozenset(
    function
    for name in ("uniform_", "normal_", "trunc_normal_", "zero_", "fill_", "constant_", "ones_", "zeros_",
                 "kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_")
    for function in (getattr(nn.init, name, None), getattr(Tensor, name, None))
    if function is not None
)  # fmt: skip


class _EmptyOnMeta(TorchFunctionMode):
    """Parameters are made by torch.empty, and by torch.zeros where a Swin transformer draws them: that must not draw
    from the generator of the process, which a training may use. RegNets also compute with tensors while they are built,
    so not all of what is made can be without numbers. Initialisers would fill nothing, and take half of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FILLING and args and args[0].is_meta:
            return args[0]
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros) and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _model(name: str, weights: str | None, num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """torchvision's model on the current default device, auxiliary heads included."""
    import torchvision

    check_name(name)
    if torch.get_default_device().type == "meta":
        return meta_model(name, num_classes, weights=weights, input_shape=input_shape)
    options = _options(name, weights, num_classes, input_shape)
    model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return model


def meta_model(
    name: str,
    num_classes: int = IMAGENET,
    *,
    weights: str | None = None,
    input_shape: tuple[int, ...] = (3, 224, 224),
) -> nn.Module:
    """torchvision's model on the meta device, where it has shapes and no numbers; auxiliary heads included."""
    import torchvision

    check_name(name)
    options = _options(name, weights, num_classes, input_shape)
    with torch.device("cpu"), _EmptyOnMeta(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of initialisers that take long
        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    model.to("meta")
    _HEADS.setdefault(name, heads_of(model))
    return model


def drop_auxiliary(model: nn.Module) -> None:
    """Take out the auxiliary heads of an Inception3 or a GoogLeNet, as torchvision does."""
    if getattr(model, "aux_logits", False):
        setattr(model, "aux_logits", False)  # noqa: B010  typed as a module's attribute it is a tensor
        for name in AUXILIARY_HEADS:
            if hasattr(model, name):
                setattr(model, name, None)


class Classes(int):
    """A number of classes that is known again where a layer was built with it."""


def heads_of(model: nn.Module) -> tuple[str, ...]:
    """The modules of a model that were built with a number of classes, given as Classes."""
    found = []
    for path, module in model.named_modules():
        size = getattr(module, "out_features", getattr(module, "out_channels", None))
        if isinstance(size, Classes):
            found.append(path)
    return tuple(found)


_HEADS: dict[str, tuple[str, ...]] = {}  # of every model that was built once, as the largest take a second


def head_paths(name: str) -> tuple[str, ...]:
    """The modules whose weights depend on the number of classes: ("fc",), ("classifier.6",), ("AuxLogits.fc", "fc")."""
    if name not in _HEADS:
        meta_model(name)
    return _HEADS[name]


def below(path: str, modules: Iterable[str]) -> bool:
    """Whether a module or a parameter is one of these modules or lies in one of them."""
    return any(path == module or path.startswith(f"{module}.") for module in modules)


def check_module(path: str, modules: Iterable[str], name: str, parameters: Iterable[str] = ()) -> None:
    """Raises RequestError where a model has no module of that name, and none of the parameters given has it."""
    tops = [module for module in modules if module]
    known = [*tops, *parameters]
    if path not in known:
        close = difflib.get_close_matches(path, known, n=1, cutoff=0.6)
        top = ", ".join(dict.fromkeys(module.partition(".")[0] for module in tops))
        hint = f"did you mean '{close[0]}'?" if close else f"its modules are {top}"
        raise RequestError(f"{name} has no module '{path}'; {hint}")


def frozen_paths(model: nn.Module, frozen: str | tuple[str, ...], heads: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The paths of the parameters that `frozen` keeps from training, in the order of the model.

    `heads` are the modules that "all" leaves out (see `head_paths`), and "to:MODULE" where that module is in none of
    them. Raises RequestError for another word, for what is not there, and for a module without weights in a tuple.
    """
    modules = [path for path, _ in model.named_modules()]
    parameters = [path for path, _ in model.named_parameters()]
    return chosen_parameters(parameters, modules, frozen, heads)


def chosen_parameters(
    parameters: Sequence[str],
    modules: Sequence[str],
    which: str | tuple[str, ...],
    heads: tuple[str, ...] = (),
    name: str = "the model",
) -> tuple[str, ...]:
    """As `frozen_paths`, of a model that is known by the paths of its parameters and modules, in its order."""
    if which == "none":
        return ()
    if which == "all":
        return tuple(path for path in parameters if not below(path, heads))
    if isinstance(which, str) and which.startswith("to:"):
        last = which.removeprefix("to:")
        check_module(last, modules, name)
        end = max(place for place, module in enumerate(modules) if below(module, (last,)))
        before = set(modules[: end + 1])
        # A head is new. Auxiliary ones lie before much that is trained already: they are not what was meant.
        new = () if below(last, heads) else heads
        return tuple(path for path in parameters if path.rpartition(".")[0] in before and not below(path, new))
    if isinstance(which, str):
        hint = f"; for that module alone write ('{which}',), up to it 'to:{which}'" if which in modules else ""
        raise RequestError(f"frozen='{which}' is none of 'none', 'all', 'to:MODULE' and a tuple of modules{hint}")
    for path in which:
        check_module(path, modules, name, parameters)
        if not any(below(one, (path,)) for one in parameters):
            raise RequestError(f"{path!r} of {name} has no weights; leave it out, or name others")
    return tuple(path for path in parameters if below(path, which))
