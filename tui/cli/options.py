"""The options and arguments that several commands share, and where the store and the data lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from engine.spec import Experiment
    from tui.settings import Settings

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")
]
RunsOption = Annotated[
    Path | None,
    typer.Option(
        "--runs", metavar="DIR", envvar="LAYERLAB_RUNS", help="The store: a folder of runs. Otherwise `runs`, here."
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", envvar="LAYERLAB_DATA", help="Where data sets lie. Otherwise the cache folder."
    ),
]
DownloadOption = Annotated[bool, typer.Option("--download", help="Download a data set that is not there yet.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Change a setting, such as epochs=5 or 'optimizer=AdamW(lr=1e-3)'."
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="MODULE", help="Let experiments use a Python module of yours, such as my.blocks."),
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run: its folder, its id, or enough of it to be the only one.")
]


def person() -> Settings:
    """The person's settings. What is wrong with their file `layerlab doctor` and the application tell."""
    from tui.settings import load_settings, settings_path

    return load_settings(settings_path())[0]


def allowed(modules: list[str] | None) -> tuple[str, ...]:
    """The modules that experiments may use: those of --allow, and those of the settings."""
    return tuple(dict.fromkeys([*(modules or ()), *person().allow]))


def store_folder(runs: Path | None) -> Path:
    """The store: what was given, else LAYERLAB_RUNS, else the settings' `store`, else `runs` in the current folder."""
    named = runs or os.environ.get("LAYERLAB_RUNS") or person().store or "runs"
    return Path(named).expanduser()


def cache_folder() -> Path:
    """layerlab's folder for what can be had again: $XDG_CACHE_HOME/layerlab, or ~/.cache/layerlab."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # A relative path there is to be ignored, says the XDG base directory specification.
        root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except RuntimeError:  # no home folder
        raise RequestError("there is no home folder to keep data in; name one with --data or LAYERLAB_DATA") from None
    return root / "layerlab"


def data_folder(data: Path | None) -> Path:
    """The data folder: what was given, else LAYERLAB_DATA, else the settings' `data`, else one in the cache folder."""
    named = data or os.environ.get("LAYERLAB_DATA") or person().data
    return Path(named).expanduser() if named else cache_folder() / "data"


def load(text: str, settings: list[str] | None = None) -> Experiment:
    """The experiment in the file, or of the preset, that `text` names, with settings changed.

    A file wins over a preset of the same name. Raises RequestError where there is neither, SpecError where the file is
    wrong.
    """
    from engine.spec import load_experiment, with_settings

    names_a_file = os.path.isfile(text) or os.path.splitext(text)[1] or os.sep in text
    experiment = load_experiment(text) if names_a_file else _preset(text)
    return with_settings(experiment, list(settings or ()))


def _preset(name: str) -> Experiment:
    from engine.presets import PRESETS, preset

    if name not in PRESETS:
        known = did_you_mean(name, PRESETS) or f"the presets are {', '.join(PRESETS)}"
        raise RequestError(f"`{name}` is neither a file nor a preset; {known}")
    return preset(name)
