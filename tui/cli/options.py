"""The options and arguments that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import RequestError, did_you_mean
from tui.cli.folders import data_folder as data_folder
from tui.cli.folders import person
from tui.cli.folders import store_folder as store_folder

if TYPE_CHECKING:
    from engine.spec import Experiment

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
DownloadOption = Annotated[bool, typer.Option("--download", help="Download data and weights that are not there yet.")]
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


def allowed(modules: list[str] | None) -> tuple[str, ...]:
    """The modules that experiments may use: those of --allow, and those of the settings."""
    return tuple(dict.fromkeys([*(modules or ()), *person().allow]))


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
