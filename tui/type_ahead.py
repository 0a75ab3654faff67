"""Keys that arrive faster than screens do: none is lost, and each goes where the one before it led.

Textual hands a key to what has the focus when it arrives. Over a slow line keys arrive in bursts: with `a`, `flat` in
one packet the four letters would go to the table that `a` was for, and be lost once the dialogue is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from textual.app import App
from textual.dom import DOMNode
from textual.driver import Driver
from textual.events import Event, Key, Paste
from textual.timer import Timer

# What a key does is done after so many passages from the focus to the application: the key itself, what it had a
# widget say (a line was submitted), and what came of that (a dialogue went, another came).
PASSAGES = 3
# Where a widget goes away before it has passed on what it was given.
LONGEST = 0.3


class TypeAhead(App[int]):
    """Hands on one key at a time."""

    def __init__(self, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self._typed: deque[Key | Paste] = deque()
        # The number of the key that is under way; 0 where none is.
        self._under_way = 0
        self._handed = 0
        self._held = 0
        self._overdue: Timer | None = None

    async def on_event(self, event: Event) -> None:
        if not isinstance(event, Key | Paste) or event.is_forwarded:
            await super().on_event(event)
        elif not self.is_running:
            return  # there is no screen any more that it could be for
        elif self._under_way:
            self._typed.append(event)
        else:
            await self._hand_on(event)

    @property
    def keys_taken(self) -> int:
        """How many keys have been handed on so far."""
        return self._handed

    def after_drawing(self, act: Callable[[], object]) -> None:
        """Do something once the screen has been drawn, before the next key."""
        self._held += 1

        def done() -> None:
            self._held -= 1
            act()

        self.call_after_refresh(done)

    async def _hand_on(self, event: Key | Paste) -> None:
        self._handed += 1
        number = self._under_way = self._handed
        self._overdue = self.set_timer(LONGEST, lambda: self._next(number))
        chain = self._chain()
        await super().on_event(event)
        self._follow(number, PASSAGES, chain)

    def _chain(self) -> Sequence[DOMNode]:
        """From what has the focus to the application: the way that a key takes."""
        return (self.focused or self.screen).ancestors_with_self

    def _follow(self, number: int, passages: int, chain: Sequence[DOMNode]) -> None:
        """Pass from each to the next, behind whatever it still has to do."""
        for at, node in enumerate(chain):
            rest = chain[at + 1 :]
            if rest and node.call_later(self._follow, number, passages, rest):
                return
        if passages > 1:
            self.call_later(self._pass_again, number, passages - 1)
        else:
            self.call_later(self._next, number)

    def _pass_again(self, number: int, passages: int) -> None:
        if number == self._under_way and self.is_running:
            self._follow(number, passages, self._chain())

    async def _next(self, number: int) -> None:
        if number != self._under_way or not self.is_running:
            return
        if self._held or not self.screen.is_mounted:
            # What has just been opened takes keys once it is there.
            self.call_after_refresh(self._next, number)
            return
        if self._overdue is not None:
            self._overdue.stop()
        self._under_way = 0
        if self._typed:
            await self._hand_on(self._typed.popleft())
