"""The memory panel: what readings say, for every kind of machine, and how it changed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import telemetry
from engine.gpus import TorchDevice
from tests.engine.nvml_replay import RECORDINGS, Replay
from tests.tui.fake_training import until
from tests.tui.one_widget import OneWidget, text_of
from tui.widgets.lines import width_of
from tui.widgets.memory import MemoryMeter, held, of_gpu, of_process
from tui.widgets.spark import SPARKS, bars, over_time, spark

MIB = 1 << 20


def on_the_cpu(number: int, rss: float = 612) -> dict[str, Any]:
    values = {"time": 1000.0 + 5 * number, "rss": int(rss * MIB), "rss_peak": 640 * MIB, "cpu_percent": 101.0}
    return values | {"system_used": 4 << 30, "system_total": 24 << 30}


async def shown(readings: list[dict[str, Any]], size: tuple[int, int] = (58, 12)) -> list[str]:
    meter = MemoryMeter(id="it")
    async with OneWidget(meter).run_test(size=size) as pilot:
        meter.show(readings)
        await pilot.pause()
        return text_of(meter)


async def test_on_the_cpu_process_and_system_are_shown() -> None:
    lines = await shown([on_the_cpu(0)])
    assert lines[0].split() == ["process", "612.0", "MiB", "peak", "640.0", "MiB", "CPU", "101", "%"]
    assert lines[1].split()[:3] == ["system", "4.0", "GiB"]
    assert lines[1].endswith("of 24.0 GiB")


async def test_before_a_reading_the_panel_says_when_there_is_one() -> None:
    assert "while a run is live" in (await shown([]))[0]


async def test_the_gpu_that_trains_is_told_in_full_and_the_others_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    device = TorchDevice(
        0, uuid="0c1d2e3f-4a5b-6c7d-8e9f-a0b1c2d3e4f5", allocated=3 << 30, reserved=4 << 30, peak=7 << 29
    )
    monkeypatch.setattr(telemetry, "torch_devices", lambda reset_peak=False: [device])
    lines = await shown([telemetry.Sampler("cuda:0", Replay("two_gpus_shared")).sample()], (100, 12))
    assert lines[0].split() == ["cuda:0", "A100-SXM4-80GB", "80.0", "GiB", "57", "%", "busy"]
    assert lines[1].split()[:3] == ["allocated", "3.0", "GiB"]
    assert lines[1].endswith("peak 3.5 GiB")
    assert lines[2].split()[:3] == ["reserved", "4.0", "GiB"]
    # 14,206 MiB are used, 4,096 MiB of them by this process.
    assert lines[3].split()[:3] == ["others", "9.9", "GiB"]
    assert lines[3].endswith("1 process")
    assert lines[4].split()[:2] == ["GPU", "0"]
    assert lines[4].endswith("39.6 GiB of 80.0 GiB  100 %  2 processes")


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDINGS.glob("*.json")))
async def test_every_machine_is_told_within_the_width_and_its_notes_in_full(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = TorchDevice(0, name="NVIDIA H200", total=140 << 30, allocated=1 << 30, reserved=2 << 30, peak=1 << 30)
    monkeypatch.setattr(telemetry, "torch_devices", lambda reset_peak=False: [device])
    replay = Replay(name)
    sampler = telemetry.Sampler("cuda:0", replay)
    readings = []
    for replay.turn in range(3):
        readings.append({"time": 10.0 * replay.turn, **sampler.sample()})
    meter = MemoryMeter(id="it")
    async with OneWidget(meter).run_test(size=(56, 20)) as pilot:
        meter.show(readings)
        await pilot.pause()
        assert all(width_of(row) <= 56 for row in meter._listed)
        told = " ".join(" ".join(text_of(meter)).split())
    assert "allocated 1.0 GiB" in told
    for note in readings[-1].get("notes", ()):
        assert " ".join(note.split()) in told


def test_memory_that_cannot_be_told_apart_is_not_called_that_of_others() -> None:
    gpu = {"used": 5 << 30, "total": 140 << 30, "own": None, "reserved": 4 << 30, "allocated": 3 << 30}
    assert [(meter.name, meter.used) for meter in of_gpu(gpu)][-1] == ("the rest", 1 << 30)
    assert of_gpu({**gpu, "own": 5 << 30})[-1].used == 0
    assert of_gpu({"used": None, "total": None}) == []


@given(
    st.dictionaries(
        st.sampled_from(["rss", "gpus", "notes", "time", "system_used", "system_total", "cpu_percent"]),
        st.none() | st.text() | st.floats() | st.integers() | st.lists(st.dictionaries(st.text(), st.floats())),
    )
)
def test_what_a_file_says_never_raises(values: dict[str, Any]) -> None:
    assert not math.isnan(held(values) or 0.0)
    meters = of_process(values)
    for gpu in values["gpus"] if isinstance(values.get("gpus"), list) else ():
        meters += of_gpu(gpu)
    assert all(0 <= meter.used < math.inf for meter in meters)


async def test_the_course_stands_over_time_with_its_highest_point_in_another_colour() -> None:
    meter = MemoryMeter(id="it")
    async with OneWidget(meter).run_test(size=(60, 4)) as pilot:
        readings = [on_the_cpu(number, 900 if number == 7 else 100 + number) for number in range(20)]
        meter.show(readings)
        await pilot.pause()
        assert "1 m 35 s" in text_of(meter)[2]
        assert text_of(meter)[2].endswith("highest 900.0 MiB")
        accents = [text for text, style in meter._listed[2] if style == "accent"]
        assert len(accents) == 1
        assert accents[0] in SPARKS
        # Only what is new is taken in, and an older reading than the newest changes nothing.
        readings.append(on_the_cpu(20, 1000))
        meter.show(readings)
        assert len(meter._course) == 21
        meter.show([on_the_cpu(0)])
        assert len(meter._course) == 1


async def test_notes_and_names_from_a_file_are_text_and_the_rest_scrolls_into_view() -> None:
    values = on_the_cpu(0) | {"notes": [f"[red]note\x1b[31m {number}" for number in range(20)], "gpus": "nonsense"}
    meter = MemoryMeter(id="it")
    async with OneWidget(meter).run_test(size=(60, 5)) as pilot:
        meter.show([values])
        meter.focus()
        await pilot.pause()
        await pilot.press("end")
        await until(pilot, lambda: "[red]note" in text_of(meter)[-1])
        assert "\x1b" not in "".join(text_of(meter))
        assert text_of(meter)[-1].endswith("19")


def test_a_spark_is_as_high_as_the_largest_value() -> None:
    assert spark([0.0, 0.5, 1.0]) == "▁▄█"


@given(st.lists(st.none() | st.floats(), max_size=40), st.integers(1, 5))
def test_bars_have_the_size_asked_for_whatever_the_values(values: list[float | None], height: int) -> None:
    rows = bars(values, height)
    assert [len(row) for row in rows] == [len(values)] * height
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if finite and max(finite) > 0:
        assert "█" in rows[0]


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e12)), min_size=1, max_size=60), st.integers(1, 30))
def test_no_peak_is_lost_over_time(points: list[tuple[float, float]], columns: int) -> None:
    cells = over_time(sorted(points), columns)
    assert len(cells) == columns
    assert max(cell for cell in cells if cell is not None) == max(value for _, value in points)
