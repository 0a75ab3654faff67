"""The training part of an epoch: `layerlab train`, and the first screen in a pty, against loops written out."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from tests.benchmarks.bars import DATA, LAYERLAB, Bar, layerlab, yardstick
from tests.benchmarks.screen import Terminal

ROUNDS = 7
EPOCHS = 3
SETTINGS = ["data.source=MNIST()", "data.batch_size=64", "data.validation=test", f"epochs={EPOCHS}"]


def measure() -> list[Bar]:
    """Ratios of seconds per epoch, medians over rounds in which every contestant has its turn."""
    seconds: dict[str, list[float]] = {"bare": [], "engine": [], "screen": [], "tutorial": []}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs"
        file = Path(folder) / "activation.toml"
        given = [argument for setting in SETTINGS for argument in ("--set", setting)]
        for round_number in range(ROUNDS):
            for name in seconds:
                if name == "bare":
                    value = yardstick("bare", "activation", EPOCHS)["seconds_per_epoch"]
                elif name == "tutorial":
                    if round_number >= 2:  # it takes ten times as long, and its bar is far away
                        continue
                    value = yardstick("tutorial", "activation", 1)["seconds_per_epoch"]
                elif name == "engine":
                    value = layerlab("train", "activation", *given, store=store)["seconds_per_epoch"]
                else:
                    value = with_screen(file, Path(folder) / f"screen-{round_number}", SETTINGS)
                seconds[name].append(value)
                print(f"round {round_number + 1}  {name:<9} {value:.3f} s an epoch", flush=True)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return [
        Bar(
            "layerlab train : bare loop (activation, MNIST, batch 64)", middle["engine"] / middle["bare"], at_most=1.05
        ),
        Bar("layerlab train : tutorial's loop", middle["engine"] / middle["tutorial"], at_most=0.2),
        Bar("with the first screen open in a pty : bare loop", middle["screen"] / middle["bare"], at_most=1.08),
    ]


def with_screen(file: Path, store: Path, settings: list[str]) -> float:
    """Seconds per epoch of a run that was started with ctrl+r on the first screen, drawn all the while."""
    if not file.exists():
        from engine.presets import preset
        from engine.spec import with_settings

        file.write_text(with_settings(preset("activation"), settings).to_toml())
    command = [str(LAYERLAB), "open", str(file), "--runs", str(store), "--data", str(DATA)]
    with Terminal(command, 120, 40) as terminal:
        terminal.wait_for("ctrl+r", "^r", timeout=60)
        terminal.settle(3.0)  # torch is being imported behind the first screen
        terminal.send("\x12")
        summary = terminal.wait_until(lambda: _finished(store), timeout=300)
        terminal.send("q")
        terminal.settle(1.0)
    shown = layerlab("show", summary, store=store)
    return float(shown["seconds_per_epoch"])


def _finished(store: Path) -> str | None:
    for path in store.glob("*/summary.json"):
        try:
            if json.loads(path.read_text()).get("status") in ("finished", "failed"):
                return path.parent.name
        except ValueError:
            continue
    return None
