"""How well a name suits what was typed: beginnings before words, words before pieces, pieces before single letters."""

from __future__ import annotations

import re

# Words, and the parts of names such as BatchNorm1d.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+\w*")


def score(typed: str, name: str, line: str = "") -> int | None:
    """How far `name` (or else `line`, what is said of it) is from what was typed: 0 is the name itself, None is not
    at all. Upper and lower case are the same."""
    wanted = typed.lower().split()
    lowered = name.lower()
    if not wanted or " ".join(wanted) == lowered:
        return 0
    if lowered.startswith(" ".join(wanted)):
        return 1
    words = [word.lower() for word in _WORD.findall(name)]
    if all(any(word.startswith(part) for word in words) for part in wanted):
        return 2
    if all(part in lowered for part in wanted):
        return 3
    told = line.lower().split()
    if all(any(word.startswith(part) for word in [*told, *words]) for part in wanted):
        return 4
    # Letters left out, as in `btchnrm` or `ln`; the first has to be there.
    letters = iter(lowered)
    joined = "".join(wanted)
    if len(joined) > 1 and joined[0] == lowered[:1] and all(letter in letters for letter in joined):
        return 5
    return None
