"""Pictures of the screen, compared with those that were taken before and looked at.

`pytest tests/tui/test_app_snapshots.py --snapshot-update` takes them anew. In dark they are SVG, to be opened in a
browser; in the other themes text with its styles, a twentieth of the size. With LAYERLAB_PICTURES=FOLDER all of them
are written there as SVG too, to be looked at.
"""

from __future__ import annotations

import asyncio
import difflib
import html
import itertools
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension, normalize_svg
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.pilot import Pilot

from tests.tui.fake_training import until
from tui.app import LayerlabApp
from tui.theme import install

SIZES = ((120, 40), (80, 24), (200, 50))
SMALLER = SIZES[:2]
THEMES: dict[str, dict[str, str]] = {"dark": {}, "light": {}, "ansi": {}, "plain": {"NO_COLOR": "1"}}
SVG_TEXT = re.compile(r'<text [^>]*\by="([\d.]+)"[^>]*>([^<]*)</text>')
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
STILL = 3
PATIENCE = 30.0


class StyledText(SingleFileSnapshotExtension):
    """A text file a picture."""

    _file_extension = "txt"
    _write_mode = WriteMode.TEXT


class Pictures:
    """Takes pictures and compares them; `check` tells of all that differ."""

    def __init__(self, snapshot: SnapshotAssertion, folder: Path) -> None:
        self._snapshot = snapshot
        self._folder = folder
        self._wrong: list[str] = []

    async def take_all(
        self,
        pilot: Pilot[Any],
        ready: Callable[[], object],
        sizes: Iterable[tuple[int, int]] = SIZES,
        themes: Iterable[str] = tuple(THEMES),
        name: str = "",
    ) -> None:
        """In every size and theme, each time once `ready` says so and nothing moves any more."""
        app = app_of(pilot)
        for width, height in sizes:
            await pilot.resize_terminal(width, height)
            for theme in themes:
                install(app, theme, THEMES[theme])
                # As the key that changes the theme has it: pictures are drawn anew.
                app.show()
                await settled(pilot, ready)
                self.take(app, f"{name}-{theme}-{width}x{height}".lstrip("-"))

    def take(self, app: LayerlabApp, name: str) -> None:
        """Compare what is on the screen now with the picture of this name."""
        drawn = normalize_svg(app.export_screenshot())
        told = styled(app)
        if os.environ.get("LAYERLAB_PICTURES"):
            self._keep(Path(os.environ["LAYERLAB_PICTURES"]), name, drawn, told)
        if "dark" in name:
            before = self._snapshot(name=name, extension_class=SVGImageExtension)
            same, now, rows = before == drawn, drawn, rows_of_svg
        else:
            before = self._snapshot(name=name, extension_class=StyledText)
            same, now, rows = before == told, told, str.splitlines
        if same:
            return
        known = before.executions[max(before.executions)].recalled_data if before.executions else None
        kept = self._keep(self._folder, name, drawn, told)
        if known is None:
            self._wrong.append(f"{name} has no picture yet: {kept}")
            return
        lines = difflib.unified_diff(rows(str(known)), rows(now), "before", "now", lineterm="", n=0)
        self._wrong.append("\n".join([f"{name} looks different: {kept}", *itertools.islice(lines, 40)]))

    def check(self) -> None:
        """Fail where a picture differs from the one taken before."""
        if self._wrong:
            pytest.fail("\n\n".join([*self._wrong, "--snapshot-update takes them anew"]), pytrace=False)

    def _keep(self, folder: Path, name: str, drawn: str, told: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        test = os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[-1].split(" ")[0]
        (folder / f"{test}-{name}.txt").write_text(told)
        path = folder / f"{test}-{name}.svg"
        path.write_text(drawn)
        return path


def app_of(pilot: Pilot[Any]) -> LayerlabApp:
    assert isinstance(pilot.app, LayerlabApp)
    return pilot.app


async def settled(pilot: Pilot[Any], ready: Callable[[], object]) -> None:
    """Wait until what is to be seen is there, and the screen has been the same for a few looks."""
    app = app_of(pilot)
    await until(pilot, ready)
    before, same, end = "", 0, time.monotonic() + PATIENCE
    while same < STILL:
        await pilot.pause()
        await asyncio.sleep(0.02)
        now = styled(app) if ready() else ""
        same = same + 1 if now and now == before else 0
        before = now
        if time.monotonic() > end:
            raise AssertionError(f"the screen does not come to rest:\n{styled(app)}")


def styled(app: LayerlabApp) -> str:
    """The screen as text, and beneath it the styles of its cells: letters with lengths, and what they mean."""
    letters: dict[str, str] = {}
    strips = app.screen._compositor.render_strips()[: app.size.height]
    told = []
    for strip in strips:
        runs = [(str(segment.style or "none"), len(segment.text)) for segment in strip if not segment.control]
        joined = (
            (style, sum(length for _, length in group)) for style, group in itertools.groupby(runs, lambda r: r[0])
        )
        told.append(" ".join(f"{letters.setdefault(style, _letter(len(letters)))}{length}" for style, length in joined))
    meaning = [f"{letter} {style}" for style, letter in letters.items()]
    return "\n".join([*(strip.text.rstrip() for strip in strips), "", *told, "", *meaning, ""])


def _letter(number: int) -> str:
    whole, rest = divmod(number, len(LETTERS))
    return (_letter(whole - 1) if whole else "") + LETTERS[rest]


def rows_of_svg(svg: str) -> list[str]:
    """The words of a picture, row by row."""
    rows: dict[float, list[str]] = defaultdict(list)
    for y, text in SVG_TEXT.findall(svg):
        rows[float(y)].append(html.unescape(text).replace("\xa0", " "))
    return ["".join(parts).rstrip() for _, parts in sorted(rows.items())]
