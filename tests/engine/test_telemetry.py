"""Readings are what the system says, and what cannot be known is said in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from engine.telemetry import NO_NVML, Sampler, changed


class NVMLError(Exception):
    pass


class Recorded:
    """Answers as NVML gave them; an exception in place of an answer is raised."""

    NVMLError = NVMLError

    def __init__(self, count=1, **answers):
        self.count = count
        self.answers = {
            "Name": b"NVIDIA H200",
            "UUID": "GPU-1",
            "MemoryInfo": SimpleNamespace(used=5 << 30, total=140 << 30),
            "UtilizationRates": SimpleNamespace(gpu=93),
            "ComputeRunningProcesses": [SimpleNamespace(pid=os.getpid(), usedGpuMemory=4 << 30)],
            **answers,
        }

    def nvmlInit(self):
        self._answer("Init")

    def nvmlDeviceGetCount(self):
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def _answer(self, name):
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __getattr__(self, name):
        return lambda handle: self._answer(name.removeprefix("nvmlDeviceGet"))


def test_gpu_as_recorded():
    values = Sampler("cuda", Recorded(count=2)).sample()
    assert values["gpus"][1] == {
        "index": 1, "name": "NVIDIA H200", "uuid": "GPU-1", "used": 5 << 30, "total": 140 << 30, "utilisation": 93,
        "own": 4 << 30,
    }  # fmt: skip
    assert "notes" not in values


def test_what_a_partitioned_gpu_does_not_tell_is_none_and_noted():
    values = Sampler("cuda:0", Recorded(UtilizationRates=NVMLError("Not Supported"))).sample()
    assert values["gpus"][0]["utilisation"] is None
    assert values["gpus"][0]["used"] == 5 << 30
    assert values["notes"] == ["GPU 0: utilisation is not known (Not Supported)"]


def test_processes_without_memory_are_no_number():
    values = Sampler("cuda", Recorded(ComputeRunningProcesses=[SimpleNamespace(pid=1, usedGpuMemory=None)])).sample()
    assert values["gpus"][0]["own"] is None


@pytest.mark.parametrize("error", [NVMLError("Driver Not Loaded"), OSError("libnvidia-ml.so.1")])
def test_no_driver_is_said_once_asked_and_not_tried_again(error):
    nvml = Recorded(Init=error)
    sampler = Sampler("cuda", nvml)
    assert sampler.sample()["notes"] == [NO_NVML]
    nvml.answers.pop("Init")
    assert "gpus" not in sampler.sample()


def test_gpus_are_not_asked_for_a_run_on_the_cpu():
    assert "gpus" not in Sampler("cpu", Recorded()).sample()


def test_process_and_system_agree_with_psutil():
    values = Sampler("cpu").sample()
    assert values["rss"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    assert values["rss_peak"] >= values["rss"]
    assert values["system_total"] == psutil.virtual_memory().total
    assert 0 < values["system_used"] < values["system_total"]


def test_sampling_imports_no_torch():
    code = "import sys; from engine.telemetry import sample; sample(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert found.stdout == "False\n", found.stderr


def test_cuda_that_nobody_started_is_not_started():
    import torch

    if torch.cuda.is_initialized():
        pytest.skip("another test started CUDA")
    assert "cuda_allocated" not in Sampler("cuda", Recorded()).sample()
    assert not torch.cuda.is_initialized()


def test_only_noticeable_changes_count():
    old = {"rss": 10**9, "cpu_percent": 90.0, "gpus": [{"used": 10**9, "utilisation": 50}]}
    assert not changed(old, {"rss": 10**9 + 10**6, "cpu_percent": 100.0, "gpus": [{"used": 10**9, "utilisation": 60}]})
    assert changed(old, {**old, "rss": 2 * 10**9})
    assert changed(old, {**old, "gpus": [{"used": 2 * 10**9, "utilisation": 50}]})
    assert changed(old, {"rss": 10**9})
