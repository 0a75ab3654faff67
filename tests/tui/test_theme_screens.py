"""Every screen in every theme: nothing is invisible, nothing keeps the colours of another theme."""

from __future__ import annotations

import time
from pathlib import Path

from rich.color import ColorType
from rich.segment import Segment
from textual.pilot import Pilot

from tests.tui.fake_training import application, until
from tui.app import LayerlabApp
from tui.theme import THEMES, install

ENVIRONMENTS: dict[str, dict[str, str]] = {"light": {}, "ansi": {}, "plain": {"NO_COLOR": "1"}, "dark": {}}
VIEWS = {"compose": "1", "train": "2", "runs": "3", "compare": "4"}
DIALOGUES = {"help": ("question_mark",), "layers": ("a", "c"), "palette": ("ctrl+p",)}


async def test_every_screen_in_every_theme(tmp_path: Path) -> None:
    """The theme is changed on each of them, and each is opened in a theme that was set on another."""
    app, training = application(tmp_path)
    wrong: list[str] = []
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.checked)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.view is not None and app.view.status == "running")
        for number in (1, 2, 3):
            training.epoch(number)
        training.reading()
        training.say("warning", "the loss rises")
        await until(pilot, lambda: app.view is not None and len(app.view.history) == 3)
        theme = "dark"
        for name, key in VIEWS.items():
            await pilot.press(key)
            theme = await look(pilot, name, theme, wrong)
        await pilot.press(VIEWS["compose"])
        for name, keys in DIALOGUES.items():
            await pilot.press(*keys)
            assert app.screen is not app.workspace()
            theme = await look(pilot, name, theme, wrong)
            await pilot.press("escape")
        training.end()
    assert wrong == []


async def look(pilot: Pilot[int], name: str, theme: str, wrong: list[str]) -> str:
    """Look at what is shown in the theme that is set and in all others; the theme that is set afterwards."""
    assert isinstance(pilot.app, LayerlabApp)
    for other in (theme, *(each for each in ENVIRONMENTS if each != theme)):
        install(pilot.app, other, ENVIRONMENTS[other])
        assert pilot.app.theme == other
        pilot.app.show()
        await pilot.pause(0.05)
        # On a busy machine it may be drawn later; what is wrong to the end is wrong.
        end = time.monotonic() + 10
        while (found := faults(pilot.app, other)) and time.monotonic() < end:
            await pilot.pause(0.05)
        wrong += [f"{name} in {other}: {what}" for what in found]
    return other


def faults(app: LayerlabApp, theme: str) -> list[str]:
    """What is wrong with what is written to the terminal, after all filters."""
    found = [segment for strip in app.screen._compositor.render_strips() for segment in strip]
    told = [fault for segment in found if (fault := fault_of(segment, theme))]
    if theme == "plain" and not marked(found):
        told.append("neither the cursor nor what has the focus can be seen without colours")
    return told


def fault_of(segment: Segment, theme: str) -> str:
    style = segment.style
    if style is None or not segment.text.strip():
        return ""
    shown = f"{segment.text!r} {style}"
    if theme == "plain":
        return shown if style.color is not None or style.bgcolor is not None else ""
    # Half blocks are pixels of a picture.
    if style.color == style.bgcolor and style.color is not None and not style.color.is_default:
        return shown if segment.text.strip("▀▄ ") else ""
    for colour in (style.color, style.bgcolor):
        if colour is None:
            continue
        if theme == "ansi" and colour.type not in (ColorType.DEFAULT, ColorType.STANDARD):
            return f"not one of the sixteen: {shown}"
        if colour.triplet is not None and colour.triplet.hex in palette("dark", "light") - palette(theme):
            return f"a colour of another theme: {shown}"
    return ""


def marked(segments: list[Segment]) -> bool:
    reverse = any(segment.style is not None and segment.style.reverse for segment in segments)
    return reverse or "╔" in "".join(segment.text for segment in segments)


def palette(*themes: str) -> set[str]:
    """The colours that are written out in themes."""
    known = [THEMES[theme] for theme in themes]
    values = {value for one in known for value in (one.accent, one.foreground, one.background, *one.variables.values())}
    return {value for value in values if value is not None and value.startswith("#") and len(value) == 7}
