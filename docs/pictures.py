"""Takes the pictures of the README: `python -m docs.pictures`, or `make pictures`.

Drives the application, without a terminal, by the keys of the README's first five minutes: a blank network becomes an
MLP, one with BatchNorm and a CNN, which are trained on the digits, compared and found again. What is trained is
trained: the curves are the same on every machine of a kind, times and memory are those of the one that it ran on.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# Networks of this size train faster on one thread than on several that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("NO_COLOR", None)
os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}

from rich.cells import cell_len
from textual.pilot import Pilot

from engine.presets import preset
from engine.spec import with_settings
from engine.store.notes import change_notes
from tui.app import LayerlabApp
from tui.live import EngineTraining
from tui.settings import Settings
from tui.state import State

FOLDER = Path(__file__).parent / "pictures"
SIZE = (120, 40)
FONTS = 'ui-monospace, "SF Mono", Menlo, "Cascadia Mono", Consolas, "DejaVu Sans Mono", monospace'
PATIENCE = 300.0
# The size of a cell in rich's pictures, and how far the line that letters stand on is below its top.
CELL, LINE, ASCENT = 12.2, 24.4, 18.5
EPOCHS = 60

MLP = (*"aflat", "enter", *"alin 300", "enter", *"arelu", "enter", *"alin 100", "enter", *"arelu", "enter")
HEAD = (*"alin classes", "enter")
# BatchNorm before each ReLU, from the layer below to the one above.
NORMALISED = ("end", "up", "up", *"abatchn", "enter", "up", "up", "up", *"abatchn", "enter")
CNN = (*"aconv 32 3 padding=1", "enter", *"abatchn", "enter", *"arelu", "enter", *"amaxpool 2", "enter", *HEAD)


# What was trained before: a preset, settings, and what was noted of it.
EARLIER: tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...] = (
    ("regression", ("epochs=30",), {}),
    ("activation", ("epochs=30", "optimizer=AdamW(lr=1e-3)"), {"add_tags": ["adam"]}),
    ("batchnorm", ("epochs=30", "seed=1"), {"add_tags": ["paper"], "starred": True}),
    ("batchnorm", ("epochs=30", "optimizer=SGD(lr=0.01, momentum=0.9)"),
     {"add_tags": ["paper"], "pinned": True, "text": "first with momentum; the one to beat"}),
)  # fmt: skip


def train_earlier(training: EngineTraining) -> None:
    """Some runs to be found beside those of the walk."""
    for name, settings, notes in EARLIER:
        path = training.start(with_settings(preset(name), list(settings)))
        training.join()
        change_notes(path, **notes)


class Walk:
    """Presses keys, and waits for what comes of them."""

    def __init__(self, app: LayerlabApp, pilot: Pilot[Any]) -> None:
        self.app = app
        self._pilot = pilot

    async def press(self, keys: Iterable[str]) -> None:
        """Each key once what the one before it did is on the screen."""
        for key in keys:
            await self._pilot.press("space" if key == " " else key)
            await self._pilot.pause()

    async def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise SystemExit("the application did not come to what was to be pictured")
            await self._pilot.pause()
            await asyncio.sleep(0.05)
        await self._pilot.pause()

    async def checked(self) -> None:
        await self.until(lambda: self.app.report is not None)

    async def name(self, name: str) -> None:
        """The last line of the recipe; back to the layers."""
        await self.press(("tab", "end", "enter", *name, "enter"))
        await self.until(lambda: self.app.draft.experiment.name == name)
        await self.press(("shift+tab",))
        await self.checked()

    async def trained(self, count: int) -> None:
        """All of that many runs have ended."""
        app = self.app

        def ended() -> bool:
            app.stored.want()
            return sum(run.status == "finished" for run in app.stored.rows.values()) == count and not app.running.live

        await self.until(ended)

    async def take(self, name: str, seconds: float = 1.0) -> None:
        """Write the picture, once what is read in threads has been drawn."""
        await asyncio.sleep(seconds)
        await self._pilot.pause()
        self.app.screen.refresh()
        await self._pilot.pause()
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{name}.svg").write_text(for_a_page(self.app.export_screenshot(title="layerlab")))
        print(f"{name}.svg")


def for_a_page(svg: str) -> str:
    """A picture that looks the same on a page, whatever fonts the reader has: none is fetched from another site, and
    every character has its place."""
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: Fira Code, monospace;", f"font-family: {FONTS};", svg)
    # One name for what is in it, however often it is taken.
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    svg = re.sub(
        r'<text class="(terminal-r\d+)" x="([\d.]+)" (y=.*?) textLength=.*?( clip-path=.*?)>(.*?)</text>', _placed, svg
    )
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _placed(found: re.Match[str]) -> str:
    style, x, y, clip, escaped = found.groups()
    text = html.unescape(escaped).replace("\xa0", " ")
    blocks = "".join(
        _block(run, float(x) + CELL * cell_len(text[: run.start()]), float(y[3:-1]) - ASCENT, style)
        for run in re.finditer(r"([▀▁-▏])\1*", text)
    )
    text = re.sub("[▀▁-▏]", " ", text)
    words = "".join(
        '<tspan x="{}">{}</tspan>'.format(
            " ".join(f"{float(x) + CELL * cell_len(text[:at]):.6g}" for at in range(word.start(), word.end())),
            html.escape(word[0]),
        )
        # In short pieces: some readers know only of the first place in a list.
        for word in re.finditer(r"\S{1,8}", text)
    )
    return blocks + (f'<text class="{style}" {y}{clip}>{words}</text>' if words else "")


def _block(run: re.Match[str], x: float, y: float, style: str) -> str:
    """Block elements as rectangles: a font that is a little narrower than the cells would leave gaps between them."""
    code = ord(run[1])
    top, width, height = 0.0, 1.0, 1.0
    if code == 0x2580:
        height = 0.5
    elif code <= 0x2588:
        height = (code - 0x2580) / 8
        top = 1 - height
    else:
        width = (0x2590 - code) / 8
    across = CELL * (width if len(run[0]) == 1 else len(run[0]))
    corner = f'x="{x:.6g}" y="{y + top * LINE:.6g}"'
    return f'<rect class="{style}" {corner} width="{across:.6g}" height="{height * LINE:.6g}"/>'


async def walk(walk: Walk) -> None:
    """From a blank network to three that are compared."""
    app = walk.app
    await walk.checked()
    await walk.press(("n", *MLP, *HEAD))
    await walk.checked()
    await walk.name("mlp")
    await walk.press(("ctrl+r",))
    await walk.until(lambda: app.mode_shown == "train")
    await walk.press(("1", *NORMALISED))
    await walk.checked()
    await walk.name("batchnorm")
    await walk.press(("ctrl+r",))
    await walk.trained(len(EARLIER) + 2)
    await walk.press(("3", "home", "down", "down", "space", "up", "space"))
    await walk.press(("1", "n", *CNN))
    await walk.checked()
    await walk.until(lambda: app.problem is not None)
    await walk.press((".",))
    await walk.checked()
    await walk.name("cnn")
    await walk.press(("home", "down"))
    await walk.take("compose")
    await walk.press(("ctrl+r",))
    await walk.until(lambda: app.mode_shown == "train")
    await walk.until(lambda: app.view is not None and app.view.name == "cnn" and app.view.epoch >= EPOCHS // 5)
    await walk.take("train", 0.3)
    await walk.trained(len(EARLIER) + 3)
    await walk.press(("3", "home", "down"))
    await walk.press(("space", "/", *"data:digits val/accuracy>80%", "enter"))
    await walk.take("runs")
    await walk.press(("c",))
    await walk.until(lambda: app.mode_shown == "compare")
    await walk.take("compare")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        store = Path("runs")
        training = EngineTraining(store, Path("data"), False, ())
        train_earlier(training)
        state = State(None)
        state.put("met", True)
        app = LayerlabApp(
            with_settings(preset("batchnorm"), [f"epochs={EPOCHS}"]),
            training,
            Path("data"),
            store=store,
            settings=Settings(theme="dark"),
            state=state,
        )
        async with app.run_test(size=SIZE) as pilot:
            await walk(Walk(app, pilot))


if __name__ == "__main__":
    asyncio.run(main())
