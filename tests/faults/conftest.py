"""What the fault tests share: how much each of them tried, told at the end of `make soak`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_FIGURES = pytest.StashKey[dict[str, int]]()


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Callable[[str, int], None]:
    """`figure("crashes while deleting", 40)`: counts what was tried; the same words add up."""
    figures = pytestconfig.stash.setdefault(_FIGURES, {})

    def add(what: str, count: int) -> None:
        figures[what] = figures.get(what, 0) + count

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, {})
    if figures and config.getoption("markexpr") == "soak":
        terminalreporter.section("what was tried")
        for what, count in figures.items():
            terminalreporter.line(f"{count:>8,}  {what}")
