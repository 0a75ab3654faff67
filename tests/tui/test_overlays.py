"""The runs that are marked are read in a thread, which nothing that stands in a run brings to an end."""

from __future__ import annotations

import queue
from pathlib import Path

from engine.store.segments import segment_path
from tests.engine.run_folders import trained_run
from tui.compared import ComparedReader
from tui.overlays import Overlays


def test_a_run_that_cannot_be_worked_out_hides_no_other(tmp_path: Path) -> None:
    strange, plain = trained_run(tmp_path), trained_run(tmp_path)
    with open(segment_path(strange, 0), "a") as file:
        file.write('{"event": "Telemetry", "time": 1, "values": {"rss": 1%s}}\n' % ("0" * 400))
    news: queue.SimpleQueue[object] = queue.SimpleQueue()
    overlays = Overlays(news.put, ComparedReader)
    overlays.want({strange.name: strange, plain.name: plain})
    news.get(timeout=20)
    assert plain.name in overlays.read
    overlays.want({plain.name: plain})
    overlays.end()
