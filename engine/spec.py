"""An experiment: what is asked for, frozen, as one TOML file. The only file that knows pydantic.

Names in calls are not looked up here, for that needs torch: `engine.catalogue.validate` does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    InstanceOf,
    PlainValidator,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import core_schema

from engine import fields
from engine.calls import Call, CallError, escape, parse_value
from engine.errors import RequestError, SpecError, did_you_mean
from engine.toml_text import Origin as Origin
from engine.toml_text import lines_of, lookup, parse_toml, read_text, without_none, write_toml

DEFAULT_LOSS = {"Classification": "CrossEntropyLoss()", "Regression": "MSELoss()"}
MAX_LAYERS = 10_000
_NETWORK_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_NETWORK_KEYS = ("layers", "init")


# Only the function: pydantic would follow the types of a call, which hold themselves, without end.
CallField = Annotated[
    Call, GetPydanticSchema(lambda _type, _handler: core_schema.no_info_plain_validator_function(fields.to_call))
]
OptionalCall = Annotated[CallField | None, BeforeValidator(fields.to_none)]
CallList = Annotated[tuple[CallField, ...], BeforeValidator(fields.to_calls)]
Normalize = Annotated[
    Literal["auto", "none"] | tuple[fields.Channels, fields.Channels], PlainValidator(fields.to_normalize)
]
_COUNT = "a whole number of at least 1"
Count = Annotated[int, Field(ge=1, le=2**31, description=_COUNT)]
OptionalCount = Annotated[Count | None, BeforeValidator(fields.to_none), Field(description=f"{_COUNT}, or none,")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, description="a number greater than 0")]
OptionalPositive = Annotated[
    Positive | None, BeforeValidator(fields.to_none), Field(description="a number greater than 0, or none,")
]


class _Part(BaseModel):
    """What the tables of an experiment have in common: frozen, strict, and errors that are SpecError."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _spec_error(error, type(self)) from None

    def with_(self, **changes: Any) -> Self:
        """The same with fields changed, checked like any other. Raises SpecError."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


class Data(_Part):
    """Where samples come from and how they are prepared."""

    source: CallField = Call("Digits")
    batch_size: Count = 64
    normalize: Normalize = "auto"
    augment: CallList = Field(default=(), max_length=100, description="a list of at most 100 calls")
    validation: CallField = Call("holdout", (0.2,))
    memory: Annotated[str, Field(description="a text"), AfterValidator(fields.memory)] = "auto"
    cache_features: Annotated[bool, Field(description="true or false")] = False

    SELDOM: ClassVar = ("augment", "memory", "cache_features")  # left out where they are as usual


class Network(_Part):
    """One chain of layers, and how all of them are initialised."""

    # None at all is how composing begins; `check` refuses to train that.
    layers: CallList = Field(max_length=MAX_LAYERS, description=f"a list of at most {MAX_LAYERS:,} calls")
    init: OptionalCall = None


Networks = fields.FrozenMapping[Network]


class Experiment(_Part):
    """What is asked for. Raises SpecError where it cannot be."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=200, description="a text of 1 to 200 characters"),
        AfterValidator(fields.printable),
    ] = "untitled"
    task: CallField = Call("Classification")
    epochs: int = Field(10, ge=1, le=1_000_000, description="a whole number from 1 to 1,000,000")
    seed: int = Field(0, ge=0, lt=2**63, description="a whole number from 0 to 2**63 - 1")
    loss: CallField
    optimizer: CallField
    scheduler: OptionalCall = None
    device: Annotated[str, Field(description="a text"), AfterValidator(fields.device)] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="fp32, bf16 or fp16")
    accumulate: Count = 1
    clip_norm: OptionalPositive = None
    clip_value: OptionalPositive = None
    early_stopping: OptionalCount = None
    ema: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | None,
        BeforeValidator(fields.to_none),
        Field(description="a decay between 0 and 1, such as 0.999, or none,"),
    ] = None
    monitor: Annotated[
        Annotated[str, AfterValidator(fields.metric)] | None,
        BeforeValidator(fields.to_none),
        Field(description="the name of a metric"),
    ] = None
    checkpoint_minutes: Positive = 5.0
    checkpoint_epochs: OptionalCount = None
    data: InstanceOf[Data] = Data()
    networks: Annotated[
        fields.FrozenMapping[Network],
        GetPydanticSchema(lambda _type, _handler: core_schema.is_instance_schema(fields.FrozenMapping)),
    ]

    SHOWN_FIRST: ClassVar = ("name", "task", "epochs", "seed", "loss", "optimizer", "scheduler")
    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    def __init__(self, /, **values: Any) -> None:
        for name in values:
            if name not in Experiment.model_fields:
                raise _unknown_field(name, Experiment)
        if "data" in values and not isinstance(values["data"], Data):
            values["data"] = _nested(Data, values["data"], "data")
        if not isinstance(values.get("networks"), fields.FrozenMapping):
            values["networks"] = _networks(values.get("networks"))
        if "loss" not in values:
            values["loss"] = _usual_loss(values.get("task", "Classification()"))
        super().__init__(**values)

    def with_(self, **changes: Any) -> Self:
        """The same with fields changed, checked like any other; where the others were written stays known."""
        result = super().with_(**changes)
        result._origins = self._origins
        return result

    # What an experiment asks for does not depend on the file that it was read from.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Experiment) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    @property
    def network(self) -> Network:
        """The only network. Raises RequestError where there are several."""
        if len(self.networks) != 1:
            raise RequestError(f"the experiment has several networks ({', '.join(self.networks)}); name one of them")
        return next(iter(self.networks.values()))

    def to_dict(self, *, brief: bool = False) -> dict[str, Any]:
        """The experiment as TOML has it: texts, numbers, lists and tables. `brief` leaves out what is as usual."""
        result = {name: fields.plain(name, getattr(self, name)) for name in self.SHOWN_FIRST}
        for name, field in Experiment.model_fields.items():
            value = getattr(self, name)
            if name not in (*self.SHOWN_FIRST, "data", "networks") and not (brief and value == field.default):
                result[name] = fields.plain(name, value)
        result["data"] = {
            name: fields.plain(name, getattr(self.data, name))
            for name, field in Data.model_fields.items()
            if not (brief and name in Data.SELDOM and getattr(self.data, name) == field.default)
        }
        tables = {
            name: {key: fields.plain(key, getattr(network, key)) for key in Network.model_fields}
            for name, network in self.networks.items()
        }
        result["network"] = tables["model"] if list(tables) == ["model"] else tables
        return without_none(result)

    def to_toml(self) -> str:
        """The canonical text: `parse_experiment` of it gives an equal experiment."""
        return write_toml(self.to_dict(brief=True))

    def digest(self) -> str:
        """16 hex digits of the sha256 of the canonical text without `name`: what is asked for, however it is called."""
        text = self.with_(name="untitled").to_toml()
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def where(self, field: str) -> Origin | None:
        """Where a field (`data.augment.0`, `network.layers.3`), or the table around it, was written, if it was."""
        return lookup(self._origins, field)

    def with_origins(self, origins: Mapping[str, Origin]) -> Experiment:
        """An equal experiment that knows where its fields were written."""
        result = self.model_copy()
        result._origins = dict(origins)
        return result


def _usual_loss(task: object) -> object:
    try:
        name = fields.to_call(task).name
    except ValueError as error:
        raise SpecError(str(error), field="task") from None
    if name not in DEFAULT_LOSS:
        raise SpecError(f'is missing, and {name}() has no usual one; write loss = "MSELoss()"', field="loss")
    return DEFAULT_LOSS[name]


def _nested(part: Callable[..., Any], values: object, field: str) -> Any:
    if not isinstance(values, Mapping):
        raise SpecError(f"found {fields.shown(values)}; a table stands here: [{field}]", field=field)
    try:
        return part(**values)
    except SpecError as error:
        error.field = f"{field}.{error.field}"
        raise


def _networks(values: object) -> Networks:
    """From `{"model": ...}`, as code writes it, or [network] of a file, which may be the only network itself."""
    if not isinstance(values, Mapping):
        if values is None:
            raise SpecError('is missing; write [network] and under it layers = ["Flatten()", ...]', field="network")
        raise SpecError(f"found {fields.shown(values)}; a table stands here: [network]", field="network")
    named = [
        name for name, value in values.items() if isinstance(value, Mapping | Network) and name not in _NETWORK_KEYS
    ]
    if not named:
        return Networks({"model": _nested(Network, values, "network")})
    networks: dict[str, Network] = {}
    for name, value in values.items():
        field = f"network.{fields.short(name)}"
        if name not in named:
            hint = f"write either layers for a single network, or only tables such as [network.{named[0]}]"
            raise SpecError("stands beside named networks", field=field, hint=hint)
        if not _NETWORK_NAME.fullmatch(name):
            raise SpecError("is not the name of a network; write letters, digits and _", field=field)
        networks[name] = value if isinstance(value, Network) else _nested(Network, value, field)
    return Networks(networks)


def _spec_error(error: ValidationError, part: type[BaseModel]) -> SpecError:
    """The first of pydantic's complaints, for a person."""
    detail = error.errors(include_url=False)[0]
    field = ".".join(str(item) for item in detail["loc"])
    top = str(detail["loc"][0]) if detail["loc"] else ""
    kind, found = detail["type"], fields.shown(detail.get("input"))
    if kind == "extra_forbidden":
        return _unknown_field(top, part)
    if kind == "missing":
        example = {"optimizer": 'optimizer = "SGD(lr=0.01)"', "layers": 'layers = ["Flatten()", "Linear(classes)"]'}
        return SpecError(f"is missing; write {example.get(top, top + ' = ...')}", field=field)
    if kind == "value_error":
        return SpecError(str(detail["ctx"]["error"]), field=field)
    description = part.model_fields[top].description if top in part.model_fields else None
    return SpecError(f"found {found}; {description or 'something else'} stands here", field=field)


def _unknown_field(name: str, part: type[BaseModel]) -> SpecError:
    known = ["network" if field == "networks" else field for field in part.model_fields]
    hint = did_you_mean(name, known) or f"the fields are {', '.join(known)}"
    if part is Experiment and name in Data.model_fields:
        hint = "it stands under [data]"
    elif part is Experiment and name in Network.model_fields:
        hint = "it stands under [network]"
    elif part is not Experiment and name in Experiment.model_fields:
        hint = "it stands at the top of the file, before any [table]"
    elif name in ("lr", "learning_rate"):
        hint = 'it is an argument of the optimizer: optimizer = "SGD(lr=0.01)"'
    return SpecError("there is no such field", field=fields.short(name), hint=hint)


def parse_experiment(text: str, file: str = "") -> Experiment:
    """Read an experiment from TOML. Raises SpecError with the line."""
    table = parse_toml(text, file)
    origins = {path: Origin(file, line) for path, line in lines_of(text).items()}
    try:
        return _from_table(table).with_origins(origins)
    except SpecError as error:
        origin = lookup(origins, error.field)
        error.file, error.line = file, origin.line if origin else None
        raise


def load_experiment(path: str | Path) -> Experiment:
    """Read an experiment from a regular file of at most 256 KiB. Raises SpecError."""
    return parse_experiment(read_text(path), escape(str(path)))


def _from_table(table: dict[str, Any]) -> Experiment:
    if "networks" in table:
        raise _unknown_field("networks", Experiment)
    values = dict(table)
    if "network" in values:
        values["networks"] = values.pop("network")
    return Experiment(**values)


def with_settings(experiment: Experiment, settings: Iterable[str]) -> Experiment:
    """The experiment with `data.batch_size=128`, `optimizer=AdamW(lr=1e-3)`, `network.layers.1=Linear(64)` and so on.

    A value is read as TOML where it is TOML, as text else. Raises SpecError that begins with `--set key=value`.
    """
    for setting in settings:
        asked = f"--set {fields.short(setting)}"
        field, equals, text = setting.partition("=")
        field = field.strip()
        try:
            if not equals:
                raise SpecError("is not a setting", hint="write field=value, such as data.batch_size=128")
            changed = _from_table(_set(experiment, field, text.strip()))
        except SpecError as error:
            named = error.field if error.field != field else ""
            raise SpecError(error.message, field=named, file=asked, hint=error.hint) from None
        kept = {k: v for k, v in experiment._origins.items() if k != field and not k.startswith(f"{field}.")}
        experiment = changed.with_origins({**kept, field: Origin(asked)})
    return experiment


def _set(experiment: Experiment, field: str, text: str) -> dict[str, Any]:
    """The table of the experiment with one field of it set."""
    table = experiment.to_dict()
    lists = ["data.augment"]
    known = [name for name in Experiment.model_fields if name not in ("data", "networks")]
    known += [f"data.{name}" for name in Data.model_fields]
    for name in experiment.networks:
        network = "network" if list(experiment.networks) == ["model"] else f"network.{name}"
        known += [f"{network}.{key}" for key in Network.model_fields]
        lists.append(f"{network}.layers")
    parent, _, last = field.rpartition(".")
    if field not in known and not (parent in lists and re.fullmatch("[0-9]{1,5}", last)):
        if parent in known:
            raise SpecError(f"`{parent}` is set as a whole", hint=f"write {parent}=...")
        hint = did_you_mean(field, known) or f"the fields are {', '.join(known)}"
        raise SpecError(f"there is no field `{fields.short(field)}`", hint=hint)
    place: Any = table
    for part in parent.split(".") if parent else ():
        place = place.get(part, [])
    value = _setting_value(field, text, field in lists)
    if parent not in lists:
        place[last] = value
    elif int(last) < len(place):
        place[int(last)] = value
    else:
        raise SpecError(f"there is no number {last} in {parent}; it has {len(place)}, counted from 0")
    return table


def _setting_value(field: str, text: str, is_list: bool) -> object:
    try:
        table = parse_toml(f"value = {text}")
    except SpecError:
        table = {}
    value = table.get("value") if len(table) == 1 else None
    if isinstance(value, str) or (isinstance(value, bool | int | float | list) and field != "name"):
        return value
    if is_list and text.startswith("["):
        try:
            return parse_value(text)
        except CallError as error:
            raise SpecError(str(error)) from None
    return text


def flatten(experiment: Experiment) -> dict[str, str]:
    """Every field by its dotted name, with its canonical text; the layers of a network are one field."""
    result: dict[str, str] = {}

    def add(prefix: str, part: _Part) -> None:
        for name in type(part).model_fields:
            value = getattr(part, name)
            if isinstance(value, _Part):
                add(f"{name}.", value)
            elif isinstance(value, fields.FrozenMapping):
                for key, network in value.items():
                    add("network." if list(value) == ["model"] else f"network.{key}.", network)
            else:
                plain = fields.plain(name, value)
                if isinstance(plain, list) and all(isinstance(item, str) for item in plain):
                    plain = ", ".join(plain) or None
                # A bool is written as in TOML.
                text = str(plain).lower() if isinstance(plain, bool) else str(plain)
                result[prefix + name] = "none" if plain is None else text

    add("", experiment)
    return result
