"""Every action of the store, gone wrong at every single file operation: old or new is whole, never neither.

Here at some of the operations, with `make soak` at every one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import RequestError
from engine.store import files, folder, notes, owner, segments, writer
from engine.store.listing import summarize
from engine.store.trash import delete_run
from tests.faults.actions import (
    ACTIONS,
    ANNOTATING,
    APPENDING,
    DELETING,
    FINISHING,
    RECORDING,
    RESUMING,
    SAVING,
    live,
)
from tests.faults.file_layer import (
    CRASH,
    CRASH_ANYWHERE,
    EIO_FOR_GOOD,
    EIO_ONCE,
    FSYNC_FOR_GOOD,
    FSYNC_ONCE,
    FULL_FOR_GOOD,
    FULL_ONCE,
    POWER_CUTS,
    READ_ONLY,
    TOO_MANY_FOR_GOOD,
    TOO_MANY_ONCE,
    Fault,
)
from tests.faults.sweep import Action, sweep

# Of the longer actions every so many-th operation.
STRIDES = {RECORDING.name: 13, RESUMING.name: 13, SAVING.name: 7, APPENDING.name: 3}
Figure = Callable[[str, int], None]


class Unsynced(files.FileLayer):
    """The disk as it is, without the wait for it."""

    def fsync(self, descriptor: int) -> None:
        pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are there for people and for other machines are cut short; the order of things stays."""
    monkeypatch.setattr(files, "system", Unsynced())
    for module, name, seconds in (
        (writer, "TICK_SECONDS", 0.002),
        (writer, "RETRY_SECONDS", 0.004),
        (segments, "CLAIMING_SECONDS", 0.0),
        (notes, "STALE_SECONDS", 0.05),
        (folder, "ABANDONED_SECONDS", 0.0),
    ):
        monkeypatch.setattr(module, name, seconds)


def some(fault: Fault, tmp_path: Path, every: int, *actions: Action) -> None:
    """Fewer operations of the actions; of each at least one."""
    for number, action in enumerate(actions):
        assert sweep(action, fault, tmp_path / str(number), every * STRIDES.get(action.name, 1)) > 0


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_crash_leaves_old_or_new_whole(action: Action, tmp_path: Path) -> None:
    """Fault 1, and of fault 28 the crash while deleting."""
    some(CRASH, tmp_path, 1, action)


@pytest.mark.parametrize("fault", POWER_CUTS, ids=lambda fault: fault.name)
def test_power_cut_leaves_old_or_new_whole_and_takes_nothing_that_was_said_to_be_done(
    fault: Fault, tmp_path: Path
) -> None:
    """Fault 1, with what was not synced lost."""
    some(fault, tmp_path, 7, *ACTIONS)


@pytest.mark.parametrize("fault", [EIO_ONCE, EIO_FOR_GOOD], ids=lambda fault: fault.name)
def test_disk_error_is_told_or_made_up_for(fault: Fault, tmp_path: Path) -> None:
    """Fault 3."""
    some(fault, tmp_path, 11, *ACTIONS)


@pytest.mark.parametrize("fault", [FSYNC_ONCE, FSYNC_FOR_GOOD], ids=lambda fault: fault.name)
def test_fsync_that_fails_is_told_or_made_up_for(fault: Fault, tmp_path: Path) -> None:
    """Fault 4."""
    some(fault, tmp_path, 2, SAVING, ANNOTATING, DELETING, FINISHING)


@pytest.mark.parametrize("fault", [FULL_ONCE, FULL_FOR_GOOD], ids=lambda fault: fault.name)
def test_full_disk_costs_nothing_that_was_there(fault: Fault, tmp_path: Path) -> None:
    """Fault 5, full at any operation of checkpoints, events and the final status.

    What a writer does until there is room again stands in tests/engine/test_store_writer.py.
    """
    some(fault, tmp_path, 4, RECORDING, FINISHING, SAVING, ANNOTATING)


@pytest.mark.parametrize("fault", [TOO_MANY_ONCE, TOO_MANY_FOR_GOOD], ids=lambda fault: fault.name)
def test_no_descriptor_left_is_told_or_made_up_for_and_none_is_lost(fault: Fault, tmp_path: Path) -> None:
    """Fault 30."""
    some(fault, tmp_path, 5, *ACTIONS)


def test_disk_that_turns_read_only_costs_nothing_that_was_there(tmp_path: Path) -> None:
    """Fault 3, as a file system answers that was remounted after an error."""
    some(READ_ONLY, tmp_path, 9, *ACTIONS)


def test_a_live_run_is_not_deleted(tmp_path: Path) -> None:
    """Fault 28."""
    path = live(tmp_path)
    with pytest.raises(RequestError, match="stop it before"):
        delete_run(tmp_path, path.name)
    assert summarize(path).live
    opened = segments.first_event(path / "events.000.jsonl")
    assert opened is not None
    owner.end(opened.owner)


@pytest.mark.soak
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
@pytest.mark.parametrize(
    ("what", "faults"),
    [
        ("crash points", [CRASH_ANYWHERE]),
        ("power cuts", POWER_CUTS),
        ("disk errors", [EIO_ONCE, EIO_FOR_GOOD, READ_ONLY]),
        ("failed fsyncs", [FSYNC_ONCE, FSYNC_FOR_GOOD]),
        ("full disks", [FULL_ONCE, FULL_FOR_GOOD]),
        ("missing descriptors", [TOO_MANY_ONCE, TOO_MANY_FOR_GOOD]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_operation(action: Action, what: str, faults: list[Fault], tmp_path: Path, figure: Figure) -> None:
    """Faults 1, 3, 4, 5, 28 and 30 at every single file operation of every action."""
    for number, fault in enumerate(faults):
        tried = sweep(action, fault, tmp_path / str(number))
        assert tried > 0
        figure(f"{what}: {action.name}", tried)
