"""The colours: one accent for focus and for what needs attention, green only for best, red only for wrong."""

from __future__ import annotations

from textual.theme import Theme

# Colours that Textual's themes lack: of what is said beside the point, and of frames.
OWN = {
    "quiet": "#7d8592",
    "frame": "#3a404a",
    "cursor": "#29323d",
    "cursor-dim": "#1a1d22",
    # The runs that are compared: told apart by hue and lightness, also by people who see red and green alike.
    "series-0": "#7fb4e0",
    "series-1": "#e0a458",
    "series-2": "#5fb8a5",
    "series-3": "#c58fd1",
    "series-4": "#d9d06c",
    "series-5": "#9aa3b2",
}

THEME = Theme(
    name="layerlab",
    primary="#7fb4e0",
    accent="#7fb4e0",
    foreground="#cdd1d8",
    background="#111317",
    surface="#181b20",
    panel="#20242b",
    success="#8fbf7f",
    error="#e27878",
    warning="#7fb4e0",
    dark=True,
    variables={
        **OWN,
        "block-cursor-background": "#7fb4e0",
        "input-cursor-background": "#cdd1d8",
        "input-selection-background": "#7fb4e0 35%",
    },
)
