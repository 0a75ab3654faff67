"""The colours: one accent for focus and for what needs attention, green only for best, red only for wrong.

Four themes: dark, light, the terminal's own sixteen colours, and plain for NO_COLOR and terminals without colours. In
the last two the cursor, the selection and what is beside the point are told by reverse, underlined and faint letters.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.filter import LineFilter, Monochrome, NoColor
from textual.theme import Theme

from tui.state import State

# The style sheets use these variables beside Textual's own. Runs that are compared are told apart by hue and lightness,
# also by people who see red and green alike.
DARK = {
    "quiet": "#949ca8",
    "frame": "#4a515d",
    "cursor": "#2d3239",
    "cursor-dim": "#1a1d22",
    "series-0": "#ee8248",
    "series-1": "#0dc288",
    "series-2": "#b186ee",
    "series-3": "#f0ee92",
    "series-4": "#7fb4e0",
    "series-5": "#e7e5e0",
}
LIGHT = {
    "quiet": "#555c66",
    "frame": "#a9aeb5",
    "cursor": "#cfdff0",
    "cursor-dim": "#e6e8ea",
    "series-0": "#8d5202",
    "series-1": "#1b6440",
    "series-2": "#753c7a",
    "series-3": "#3d3800",
    "series-4": "#0f5cb1",
    "series-5": "#27150c",
}
# Nothing is known of the terminal's background: blue cannot be read on some black, yellow and cyan not on white. What
# carries the text is its own foreground.
ANSI = {
    "quiet": "ansi_default",
    "frame": "ansi_default",
    "cursor": "ansi_default",
    "cursor-dim": "ansi_default",
    "series-0": "ansi_bright_blue",
    "series-1": "ansi_yellow",
    "series-2": "ansi_green",
    "series-3": "ansi_cyan",
    "series-4": "ansi_magenta",
    "series-5": "ansi_default",
}
_COLOURED = {
    "quiet-style": "none",
    "accent-style": "none",
    "cursor-style": "none",
    "cursor-dim-style": "none",
    "selection-style": "none",
    "label-style": "bold",
    "focus-frame-kind": "round",
    "focus-title-style": "none",
}
_UNCOLOURED = {
    "quiet-style": "dim",
    "accent-style": "none",
    "cursor-style": "reverse not dim",
    "cursor-dim-style": "underline not dim",
    "selection-style": "reverse",
    "label-style": "bold reverse",
    "focus-frame-kind": "round",
    "focus-title-style": "bold",
}
_PLAIN = _UNCOLOURED | {"accent-style": "bold", "focus-frame-kind": "double"}
# The style sheets are read before a theme is set.
OWN = DARK | _COLOURED

THEMES = {
    "dark": Theme(
        name="dark",
        primary="#7fb4e0",
        accent="#7fb4e0",
        foreground="#cdd1d8",
        background="#111317",
        surface="#181b20",
        panel="#20242b",
        success="#8fbf7f",
        error="#e88585",
        warning="#7fb4e0",
        dark=True,
        variables={
            **OWN,
            "text-muted": "#949ca8",
            "block-cursor-background": "#7fb4e0",
            "input-cursor-background": "#cdd1d8",
            "input-selection-background": "#7fb4e0 35%",
        },
    ),
    "light": Theme(
        name="light",
        primary="#0b5a9c",
        accent="#0b5a9c",
        foreground="#24282e",
        background="#fbfbf9",
        surface="#f1f1ee",
        panel="#e7e7e3",
        success="#2c6a1f",
        error="#b3261e",
        warning="#0b5a9c",
        dark=False,
        variables={
            **LIGHT,
            **_COLOURED,
            "text-muted": "#555c66",
            "block-cursor-background": "#0b5a9c",
            "input-cursor-background": "#24282e",
            "input-cursor-foreground": "#fbfbf9",
            "input-selection-background": "#0b5a9c 25%",
        },
    ),
}


def _of_the_terminal(name: str, styles: dict[str, str]) -> Theme:
    return Theme(
        name=name,
        ansi=True,
        primary="ansi_magenta",
        accent="ansi_magenta",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        success="ansi_green",
        error="ansi_red",
        warning="ansi_magenta",
        variables={
            **ANSI,
            **styles,
            # Textual's own style sheets ask an ANSI theme for these.
            "ansi-background": "ansi_default",
            "ansi-foreground": "ansi_default",
            "text-muted": "ansi_default",
            "input-cursor-background": "ansi_default",
            "input-cursor-foreground": "ansi_default",
            "input-cursor-text-style": "reverse",
            "input-selection-background": "ansi_default",
            "input-selection-foreground": "ansi_default",
            "screen-selection-background": "ansi_default",
            "screen-selection-foreground": "ansi_default",
            "block-cursor-background": "ansi_default",
            "block-cursor-foreground": "ansi_default",
            "block-cursor-text-style": "bold reverse",
        },
    )


THEMES |= {"ansi": _of_the_terminal("ansi", _UNCOLOURED), "plain": _of_the_terminal("plain", _PLAIN)}
CYCLE = ("dark", "light", "ansi")
NAMES = {"dark": "dark", "light": "light", "ansi": "the terminal's own sixteen"}


class Plain(LineFilter):
    """Takes every colour out of what is drawn, and leaves bold, faint, underlined and reverse."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text, without_colour(style), control) for text, style, control in segments]


@lru_cache(4096)
def without_colour(style: Style | None) -> Style | None:
    """The style with neither a colour nor a sequence that asks for the terminal's own."""
    # Textual writes what rich cached of a style before it was changed: a new one is made, not a copy.
    return None if style is None else style.without_color


def automatic(color_system: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The theme for a terminal: `color_system` is what rich found of it, None where it has no colours.

    COLORFGBG, where a terminal sets it, tells a light background; a terminal is not asked, for over a slow line the
    answer may come after the first keys.
    """
    if color_system is None:
        return "plain"
    if color_system not in ("truecolor", "256"):
        return "ansi"
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    # White and the bright colours; 8 is a dark grey.
    return "light" if background.isdecimal() and int(background) in (7, *range(9, 16)) else "dark"


def colourless(color_system: str | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether nothing coloured may be written: NO_COLOR is set (and not empty), or the terminal has no colours."""
    return bool(environment.get("NO_COLOR")) or color_system is None


def install(app: App[Any], setting: str = "auto", environment: Mapping[str, str] = os.environ) -> str:
    """Give the application its themes and set the one of the setting, or the one that suits the terminal; its name."""
    for theme in THEMES.values():
        app.register_theme(theme)
    system = app.console.color_system
    # Textual's own filters for NO_COLOR write greys, and the sequences for the terminal's own colours.
    app._filters[:] = [one for one in app._filters if not isinstance(one, Monochrome | NoColor | Plain)]
    app.no_color = colourless(system, environment)
    if app.no_color:
        app._filters.append(Plain())
    app.theme = suited(setting, system, environment)
    return app.theme


def suited(setting: str, color_system: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The theme of a setting: plain where no colours may be written, what suits the terminal for auto or nonsense."""
    if colourless(color_system, environment):
        return "plain"
    return setting if setting in CYCLE else automatic(color_system, environment)


def next_theme(app: App[Any]) -> str:
    """Set the theme after the one that is set; its name. There is but one where no colours may be written."""
    if not app.no_color:
        app.theme = CYCLE[(CYCLE.index(app.theme) + 1) % len(CYCLE)] if app.theme in CYCLE else CYCLE[0]
    return app.theme


def chosen(setting: str, state: State) -> str:
    """What was last chosen on this store, unless the settings say something else since; otherwise what they say."""
    last = state.names("theme")
    return last[0] if len(last) == 2 and last[1] == setting and last[0] in CYCLE else setting


def change_theme(app: App[Any], setting: str, state: State) -> str:
    """Set the next theme and remember it; what to tell the person."""
    if app.no_color:
        return "this terminal has no colours, or NO_COLOR is set: there is one theme"
    name = next_theme(app)
    state.put("theme", [name, setting])
    return f"colours: {NAMES[name]}"
