"""The whole way in a real terminal, by keys alone: from a blank network to three that are compared, and back again."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from tests.tui.screen_of_pty import Screen

WIDE, NARROW = (120, 40), (80, 24)
CHECKOUT = Path(__file__).parents[2]
EPOCHS = 3

# What is typed, and what stands on the screen once it is done. A network is composed layer by layer: `a` asks for one.
MLP = (
    ("n", "no layers yet"),
    ("a", "Add the first layer"),
    ("flat", r"Flatten\(\) +→ 64"),
    ("<enter>", r"0  Flatten\(\)"),
    ("alin 300", r"Linear\(300\) +→ 300"),
    ("<enter>", r"1  Linear\(300\)"),
    ("arelu", r"ReLU\(\) +→ 300"),
    ("<enter>", r"2  ReLU\(\)"),
    ("alin classes", r"Linear\(classes\) +→ 10"),
    ("<enter>", r"3  Linear\(classes\) +10"),
)
# Once more with layers between, as somebody types who knows the way: nothing is waited for.
BATCHNORM = (
    ("n", "no layers yet"),
    ("aflat<enter>alin 300<enter>abatchnorm1d<enter>arelu<enter>", r"3  ReLU\(\)"),
    ("alin 100<enter>abatchnorm1d<enter>arelu<enter>alin classes<enter>", r"7  Linear\(classes\) +10"),
)
CNN = (
    ("n", "no layers yet"),
    ("aconv 32 3 padding=1<enter>arelu<enter>amaxpool 2<enter>", r"2  MaxPool2d\(2\) +32 × 4 × 4"),
    # The application proposes what is missing.
    ("alin classes<enter>", r"fix: put Flatten\(\) before it"),
    (".", r"3  Flatten\(\)"),
)
NETWORKS = {"mlp": MLP, "batchnorm": BATCHNORM, "cnn": CNN}

# At 80 columns the third run is a key away.
COMPARED = r"val/accuracy +★? ?\d\d\.\d\d % .*\d\d\.\d\d %"


def recipe(name: str) -> tuple[tuple[str, str], ...]:
    """Name it, and let it train for a few epochs only. The name is the last line of the recipe."""
    return (
        ("<tab><end><enter>", "enter keeps it"),
        (f"{name}<enter>", rf"{name} \*"),
        ("<home><down><down><down><down><down><down><down><down><enter>", "─ epochs"),
        (f"{EPOCHS}<enter>", rf"epochs +{EPOCHS}\b"),
    )


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder of one's own, and surroundings in which layerlab knows of nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAYERLAB", "XDG"))}
    environment |= {
        "TERM": "xterm-256color", "COLORTERM": "truecolor", "OMP_NUM_THREADS": "1", "LAYERLAB_DATA": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": str(CHECKOUT), "LANG": "C.UTF-8",
    }  # fmt: skip
    return tmp_path, environment


def begin(place: tuple[Path, dict[str, str]], size: tuple[int, int]) -> Screen:
    """What `make run` does in a terminal."""
    folder, environment = place
    beside = Path(sys.executable).with_name("layerlab")
    command = [str(beside)] if beside.exists() else [sys.executable, "-m", "tui.cli"]
    return Screen(command, environment, folder, size)


def go(screen: Screen, steps: tuple[tuple[str, str], ...]) -> None:
    """Press keys, and see what comes of them, step by step."""
    for keys, shown in steps:
        screen.press(keys)
        screen.until(lambda shown=shown: re.search(shown, screen.text))


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["120x40", "80x24"])
def test_three_networks_are_composed_trained_compared_and_found_again(
    place: tuple[Path, dict[str, str]], size: tuple[int, int]
) -> None:
    screen = begin(place, size)
    try:
        screen.until("first time here?")
        for name, layers in NETWORKS.items():
            go(screen, layers)
            go(screen, recipe(name))
            # Where a run is live already it waits behind that.
            screen.press("<ctrl+r>")
            screen.until(lambda name=name: re.search(rf"2 Train ●|[●✓].*-{name}-|{name} waits", screen.text))
            screen.press("1")
            screen.until(lambda name=name: re.search(rf"{name}( \*)? +Digits", screen.text))
        screen.press("3")
        for name in NETWORKS:
            screen.until(lambda name=name: re.search(rf"✓ {name}-\w+ .* \d\d\.\d\d %", screen.text))
        go(screen, (("<home><space><down><space><down><space>", "4 Compare 3"), ("c", COMPARED)))
        first = screen.text
        go(screen, (("<right><right>", r"\bmlp\b"),))
        assert all(re.search(rf"\b{name}\b", first + screen.text) for name in NETWORKS), screen.text
        screen.press("q")
        assert screen.ended() == 0
        assert "layerlab show" in screen.text
        assert "leaked" not in screen.text, screen.text
    finally:
        screen.close()

    again = begin(place, size)
    try:
        again.until("1 Compose")
        go(again, (("3", "Runs 3"), ("/", "/"), ("cnn epochs:3 val/accuracy>0.05", "1 of 3")))
        again.until(lambda: "✓ cnn" in again.text and "✓ mlp" not in again.text)
        go(again, (("<enter>", "✓ cnn"), ("<enter>", rf"epoch {EPOCHS} of {EPOCHS}"), ("4", COMPARED)))
        go(again, (("<right><right>", r"\bmlp\b"),))
        again.press("q")
        assert again.ended() == 0
    finally:
        again.close()


@pytest.mark.parametrize("wait", [0.0, 0.3, 0.7, 1.2, 1.8])
def test_whoever_quits_while_torch_is_being_imported_is_let_go_at_once(
    place: tuple[Path, dict[str, str]], wait: float
) -> None:
    screen = begin(place, WIDE)
    try:
        screen.until("BatchNorm1d")
        end = time.monotonic() + wait
        while time.monotonic() < end:
            screen.read()
        screen.press("q")
        assert screen.ended() == 0
    finally:
        screen.close()
