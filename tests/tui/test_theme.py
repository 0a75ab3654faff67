"""The colours: what can be read, what can be told apart, and what is left of them on lesser terminals."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from rich.color import Color, ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as TextualColor
from textual.css.parse import parse_declarations

from tui.state import State
from tui.theme import CYCLE, OWN, THEMES, Plain, automatic, change_theme, chosen, next_theme, suited

RGB = tuple[float, float, float]
# Machado, Oliveira and Fernandes (2009), "A physiologically-based model for simulation of color vision deficiency":
# severity 1.0, on linear RGB.
DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
SERIES = [f"series-{number}" for number in range(6)]


def colours(name: str) -> dict[str, str]:
    theme = THEMES[name]
    named = {key: getattr(theme, key) for key in ("foreground", "background", "surface", "accent", "success", "error")}
    return named | theme.variables


def linear(colour: str) -> RGB:
    """IEC 61966-2-1."""
    red, green, blue = (
        part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in TextualColor.parse(colour).rgb
    )
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    light, dark = sorted(
        (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True)) for colour in (one, other)),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


def lab(colour: RGB) -> RGB:
    """CIE L*a*b* of linear RGB under D65."""
    red, green, blue = colour
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    x, y, z = (part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116 for part in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour: RGB, matrix: tuple[RGB, RGB, RGB]) -> RGB:
    red, green, blue = (min(max(sum(a * b for a, b in zip(row, colour, strict=True)), 0), 1) for row in matrix)
    return red, green, blue


def in_256(colour: str) -> str:
    """The colour as rich writes it to a terminal with 256 of them."""
    return TextualColor.from_rich_color(Color.parse(colour).downgrade(ColorSystem.EIGHT_BIT)).hex


@pytest.mark.parametrize("name", ["dark", "light"])
def test_text_can_be_read_wherever_it_stands(name: str) -> None:
    found = colours(name)
    for text in ("foreground", "quiet", "accent", "success", "error", "text-muted"):
        for under in ("background", "surface", "cursor", "cursor-dim"):
            assert contrast(found[text], found[under]) >= 4.5, (text, under)
    for series in SERIES:
        assert contrast(found[series], found["background"]) >= 4.5, series


@pytest.mark.parametrize("name", ["dark", "light"])
def test_series_are_told_apart_by_everybody(name: str) -> None:
    found = [linear(colours(name)[series]) for series in SERIES]
    for one, other in itertools.combinations(found, 2):
        assert math.dist(lab(one), lab(other)) >= 25
        for deficiency in (DEUTERANOPIA, PROTANOPIA):
            assert math.dist(lab(seen(one, deficiency)), lab(seen(other, deficiency))) >= 15


@pytest.mark.parametrize("name", ["dark", "light"])
def test_256_colours_are_enough(name: str) -> None:
    """What SSH leaves where COLORTERM is not passed on."""
    found = {
        key: in_256(colour) for key, colour in colours(name).items() if colour.startswith("#") and " " not in colour
    }
    for under in ("cursor", "cursor-dim", "frame"):
        assert found[under] != found["background"]
    assert contrast(found["frame"], found["background"]) > 1.5
    assert len({found[series] for series in SERIES}) == 6
    for text in ("foreground", "quiet", "accent", "success", "error"):
        for under in ("background", "cursor"):
            assert contrast(found[text], found[under]) >= 4, (text, under)


def test_the_sixteen_are_the_terminals_own() -> None:
    for name in ("ansi", "plain"):
        assert all("#" not in value for value in colours(name).values())
    found = [colours("ansi")[series] for series in SERIES]
    assert len(set(found)) == 6


@pytest.mark.parametrize("name", list(THEMES))
def test_every_theme_has_every_variable(name: str) -> None:
    variables = THEMES[name].to_color_system().generate() | THEMES[name].variables
    for key in OWN:
        value = variables[key]
        if key.endswith("-style"):
            parse_declarations(f"text-style: {value};", ("", ""))
        elif key.endswith("-kind"):
            parse_declarations(f"border: {value} white;", ("", ""))
        else:
            TextualColor.parse(value)


@pytest.mark.parametrize(
    ("system", "environment", "theme"),
    [
        ("truecolor", {}, "dark"),
        ("256", {}, "dark"),
        ("standard", {}, "ansi"),
        ("standard", {"COLORFGBG": "0;15"}, "ansi"),
        (None, {}, "plain"),
        ("truecolor", {"COLORFGBG": "0;15"}, "light"),
        ("truecolor", {"COLORFGBG": "0;default;7"}, "light"),
        ("256", {"COLORFGBG": "15;0"}, "dark"),
        ("256", {"COLORFGBG": "15;8"}, "dark"),
        ("256", {"COLORFGBG": "15;default"}, "dark"),
        ("256", {"COLORFGBG": "nonsense;-1;99999999999999999999"}, "dark"),
    ],
)
def test_auto_looks_at_what_the_terminal_says(system: str | None, environment: dict[str, str], theme: str) -> None:
    assert automatic(system, environment) == theme
    assert suited("auto", system, environment) == theme
    assert suited("auto", system, environment | {"NO_COLOR": "1"}) == "plain"
    assert suited("auto", system, environment | {"NO_COLOR": ""}) == theme


def test_a_setting_wins_over_the_terminal_but_not_over_no_color() -> None:
    assert suited("light", "standard", {}) == "light"
    assert suited("light", "truecolor", {"NO_COLOR": "1"}) == "plain"
    assert suited("light", None, {}) == "plain"
    assert suited("purple", "256", {}) == "dark"


def test_plain_keeps_the_letters_and_drops_the_colours() -> None:
    style = Style.parse("bold reverse #ff0000 on blue")
    ((text, plain, control),) = Plain().apply([Segment("x", style)], TextualColor(0, 0, 0))
    assert (text, control) == ("x", None)
    assert plain == Style.parse("bold reverse")
    assert plain.render("x") == "\x1b[1;7mx\x1b[0m"


def test_the_theme_that_was_chosen_is_there_the_next_time(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json", delay=60)
    assert chosen("auto", state) == "auto"

    class Shown:
        theme = "dark"
        no_color = False

    app = Shown()
    assert "light" in change_theme(app, "auto", state)  # type: ignore[arg-type]
    state.flush()
    assert chosen("auto", State(tmp_path / "state.json")) == "light"
    # The settings were changed since.
    assert chosen("ansi", State(tmp_path / "state.json")) == "ansi"
    assert [next_theme(app) for _ in CYCLE] == ["ansi", "dark", "light"]  # type: ignore[arg-type]
    state.put("theme", ["nonsense", "auto"])
    assert chosen("auto", state) == "auto"
