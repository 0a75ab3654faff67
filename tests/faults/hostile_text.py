"""Text that wants to do harm, and a store in which it stands in every place that a text can stand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from engine.events import (
    CheckpointSaved,
    Controlled,
    EpochEnded,
    Event,
    Measured,
    Message,
    Opened,
    Progress,
    Started,
    StatusChanged,
    Telemetry,
    Tested,
    to_line,
)
from engine.store.owner import begin, this_process

BEGAN = 1_768_487_000.0
PAYLOADS = {
    "c0": "".join(map(chr, (*range(0x20), 0x7F))),
    "c1": "".join(map(chr, range(0x80, 0xA0))),
    "escapes": "\x1b[2J\x1b[H\x1b[31m\x1b(0\x1bc\x1b]0;title\x07\x1bP1$r\x1b\\\x1b_x\x1b\\\x1b[6n\x1b[?1049l"
    "\x9b31m\x9d0;t\x9c",
    "clipboard": "\x1b]52;c;aGFja2Vk\x07",
    "link": "\x1b]8;;http://example.org\x1b\\here\x1b]8;;\x1b\\",
    "bidi": "\u202eevil\u2066\u2069\u200f\u061c\u202a",
    "unseen": "\u200b\u200d\u2060\ufeff\u00ad\u3164\u115f\u2800\U000e0041\u034f\u180e",
    "click": "[@click=app.leave]x[/][@click='app.exit(3)']y[/]",
    "markup": "[/foo][red][link=http://example.org][on $error]\\[$text]{compose.add}[/][[",
    "emoji": "👩\u200d👩\u200d👧🏳\ufe0f\u200d🌈🇺🇳👍🏽e\u0301\u0489" + "\u0300" * 30,
    "lines": "one\ntwo\r\nthree\x85four\u2028five\u2029six\x0b\x0c\ttab",
    "long": "\x1b[8m" + "long " * 2_000,
    "surrogates": "\udfff\udc9b\ud800\U0010ffff\ufdd0\ue000",
}
# What follows the mark in each, as it is to be seen: written out by hand, for the tests to look for.
SEEN = {
    "c0": "␀", "c1": "\\u0080", "escapes": "␛[2J", "clipboard": "␛]52", "link": "␛]8", "bidi": "\\u202e",
    "unseen": "\\u200b", "click": "[@click", "markup": "[/foo]", "emoji": "👩", "lines": "one", "long": "␛[8m",
    "surrogates": "\\udfff",
}  # fmt: skip


def toml_text(text: str) -> str:
    """A TOML string with every character escaped; TOML has no way to write half of a surrogate pair."""
    codes = (0xFFFD if 0xD800 <= ord(character) <= 0xDFFF else ord(character) for character in text)
    return '"' + "".join(f"\\U{code:08x}" for code in codes) + '"'


def hostile_run(store: Path, number: int, kind: str, *, status: str = "failed") -> Path:
    """A run with a payload in every text that its files hold, each behind a mark that says which it is. A live one
    belongs to this process."""
    text = PAYLOADS[kind]
    path = store / f"202601{number + 1:02d}T000000Z-{kind}-aaaa"
    for folder in ("control", "checkpoints", "artifacts"):
        (path / folder).mkdir(parents=True)
    # A name with control characters would make the whole experiment unreadable, which half of the runs have anyhow.
    name = toml_text("Zexp" + (text if number % 2 else "".join(filter(str.isprintable, text))[:150]))
    source = toml_text(f"CSV({'Zsrc' + text!a}, target='t')")
    (path / "experiment.toml").write_text(
        f'name = {name}\nepochs = 3\noptimizer = "SGD(lr=0.01)"\n[data]\nsource = {source}\n'
        '[network]\nlayers = ["Linear(4)", "Linear(classes)"]\n'
    )
    events = hostile_events(text, status)
    (path / "events.000.jsonl").write_text(
        "".join(to_line(event, BEGAN + at) + "\n" for at, event in enumerate(events))
        # Newer events, with more of the same.
        + json.dumps({"event": f"Znew{text}", "time": 1.0, text: text}) + "\n"
    )  # fmt: skip
    entry = {"epoch": 2, "metrics": {f"val/accuracy{text}"[:2_000]: 0.5, "val/loss": 0.5, "val/accuracy": 0.9}}
    write_json(
        path / "summary.json",
        {
            "version": 1, "run": f"Zrun{text}", "name": f"Znam{text}", "status": status, "reason": f"Zrea{text}",
            "started": f"Zsta{text}", "ended": f"Zend{text}", "epoch": 2, "epochs": 3, "best": entry, "last": entry,
            "source": f"Zsou{text}", "device": f"Zdev{text}", "parameters": 12, "seconds": 3.0,
            "fields": {"optimizer": f"Zopt{text}", f"Zfie{text}": f"Zval{text}", "name": text},
        },
    )  # fmt: skip
    tag = "".join(f"Ztag{text}".split())[:60]
    write_json(path / "notes.json", {"version": 1, "text": f"Znot{text}", "tags": [tag], "pinned": number % 2 == 0})
    write_json(path / "environment.json", {"version": 1, f"Zenv{text}": {text: text}, "host": f"Zhos{text}"})
    (path / "console.log").write_bytes(f"Zcon{text}\nand {text}".encode("utf-8", "surrogatepass"))
    return path


def hostile_events(text: str, status: str) -> list[Event]:
    owner = {**this_process(), "note": text}
    if status == "running":
        begin(owner)
    modules: tuple[dict[str, Any], ...] = (
        {"path": f"Zpat{text}", "call": f"Zcal{text}", "output_shape": [4, text], "parameters": 20, "depth": 0},
        {"path": "1", "call": "Linear(2)", "output_shape": text, "parameters": text, "depth": 0},
    )
    told: list[Event] = [
        Opened(1, owner),
        Started(f"Zdvc{text}", f"Zpre{text}", 3, 23, 64, 1437, 360, None, 22, 22, (1, 8, 8), (f"Zcla{text}", "b"),
                modules, {"total": 1, text: text}),
        StatusChanged("running", f"Zrun{text}"),
    ]  # fmt: skip
    for epoch in (1, 2):
        told.append(Progress(epoch * 23, epoch, 23, 23, 2 / epoch, 0.1, 1e3, float(epoch)))
        metrics = {"train/loss": 2 / epoch, "val/accuracy": 0.5, f"Zmet{text}": 0.5, f"val/Zmev{text}": 0.25}
        told.append(EpochEnded(epoch, epoch * 23, metrics, {"train": 1.0, f"Zsec{text}": 1.0}, True))
        told.append(Measured(epoch * 23, ({"path": f"Zpat{text}", "weight_norm": 1.0, text: text},)))
    told += [
        Telemetry({"rss": 1 << 20, f"Ztel{text}": text, "notes": {text: text}, "device": text}),
        CheckpointSaved(46, 2, f"Zkin{text}", f"Zche{text}", 100, 0.1),
        Controlled(46, f"Zreq{text}", 1.0, f"Zby{text}"),
        *(Message(level, f"Zm{level[:2]}{text}", 46) for level in ("info", "warning", "error", f"Zlev{text}")),
        Tested(2, 46, {f"Ztes{text}": 0.5}),
    ]
    if status != "running":
        told.append(StatusChanged(status, f"Zrsn{text}", 46))
    return told


def write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data))


def hostile_store(store: Path) -> Path:
    """A run of each payload, one of them live, and folders with such names that hold a run, or something else."""
    store.mkdir(parents=True)
    for number, kind in enumerate(PAYLOADS):
        hostile_run(store, number, kind, status=("failed", "finished", "stopped")[number % 3])
    hostile_run(store, len(PAYLOADS), "clipboard", status="running")
    good = (store / f"20260101T000000Z-{next(iter(PAYLOADS))}-aaaa" / "experiment.toml").read_bytes()
    for kind in PAYLOADS:
        named = store / file_name("Zfol", kind)
        named.mkdir()
        (named / "experiment.toml").write_bytes(good if kind != "c1" else PAYLOADS["c1"].encode())
    # One byte that is no UTF-8: C1's CSI where a terminal takes bytes for characters.
    raw = Path(os.fsdecode(os.fsencode(store) + b"/Zraw\x9b2J\xff"))
    raw.mkdir()
    (raw / "experiment.toml").write_bytes(good)
    return store


def file_name(mark: str, kind: str, ending: str = "") -> str:
    """A payload as a file may be called: no slash, no NUL, at most 255 bytes, not more than a file system takes."""
    plain = (mark + PAYLOADS[kind]).replace("/", "|").replace("\0", "")
    return plain.encode("utf-8", "replace")[:200].decode("utf-8", "ignore") + ending
