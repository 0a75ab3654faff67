"""The runs that a person has chosen for comparison, in the order in which they were chosen."""

from __future__ import annotations

COLOURS = 6


class Marks:
    """Runs by their id. The baseline is the first of them unless another was chosen. A run keeps its colour as long as
    it is marked; from the seventh on colours come again."""

    def __init__(self) -> None:
        self._colours: dict[str, int] = {}
        self._chosen: str | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(self._colours)

    @property
    def baseline(self) -> str | None:
        """What the others are compared with; None where nothing is marked."""
        return self._chosen if self._chosen in self._colours else next(iter(self._colours), None)

    def __contains__(self, run: str) -> bool:
        return run in self._colours

    def __len__(self) -> int:
        return len(self._colours)

    def toggle(self, run: str) -> bool:
        """Mark a run, or unmark it; whether it is marked now."""
        if run in self._colours:
            del self._colours[run]
            return False
        used = list(self._colours.values())
        self._colours[run] = min(range(COLOURS), key=lambda colour: (used.count(colour), colour))
        return True

    def put(self, runs: tuple[str, ...], baseline: str | None = None) -> None:
        """Mark these, and no others."""
        self.clear()
        for run in dict.fromkeys(runs):
            self.toggle(run)
        self._chosen = baseline

    def set_baseline(self, run: str) -> None:
        """Compare the others with this one, which is marked."""
        if run in self._colours:
            self._chosen = run

    def clear(self) -> None:
        self._colours.clear()
        self._chosen = None

    def keep(self, known: set[str]) -> bool:
        """Unmark what is not there any more; whether that was any."""
        gone = [run for run in self._colours if run not in known]
        for run in gone:
            del self._colours[run]
        return bool(gone)

    def colour(self, run: str) -> int:
        """Which of the series styles a run has, from 0 to 5."""
        return self._colours.get(run, 0)
