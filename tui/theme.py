"""The colours: one accent for focus and for what needs attention, green only for best, red only for wrong."""

from __future__ import annotations

from textual.theme import Theme

# Colours that Textual's themes lack: of what is said beside the point, and of frames.
OWN = {"quiet": "#7d8592", "frame": "#3a404a"}

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
