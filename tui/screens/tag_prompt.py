"""The tags of runs in one line, completed from those that the store knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.suggester import Suggester
from textual.widgets import Input

from tui.screens.prompt import Prompt


class KnownTags(Suggester):
    """Completes the word at the end of what is typed."""

    def __init__(self, known: Iterable[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._known = sorted(set(known))

    async def get_suggestion(self, value: str) -> str | None:
        word = value.rsplit(" ", 1)[-1]
        if not word:
            return None
        there = set(value.split())
        fits = (tag for tag in self._known if tag.startswith(word) and tag != word and tag not in there)
        found = next(fits, None)
        return None if found is None else value + found[len(word) :]


class TagPrompt(Prompt):
    """Gives the tags, separated by spaces; the right arrow takes the completion that is shown."""

    def __init__(self, title: str, tags: Sequence[str], known: Iterable[str]) -> None:
        super().__init__(title, " ".join(tags) + (" " if tags else ""), _wrong)
        self._known = known

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(Input).suggester = KnownTags(self._known)


def _wrong(text: str) -> str:
    from engine.store.notes import MAX_TAG, MAX_TAGS

    tags = text.split()
    longest = max(tags, key=len, default="")
    if len(longest) > MAX_TAG:
        return f"a tag has at most {MAX_TAG} characters, `{longest[:20]}…` has {len(longest)}"
    return f"a run has at most {MAX_TAGS} tags, these are {len(tags)}" if len(tags) > MAX_TAGS else ""
