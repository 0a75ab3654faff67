"""Photographs: reading decoded batches against the tutorials' ImageFolder and DataLoader, and training a set that does
not fit the memory given, each beside what it is compared with, in processes of their own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.bars import DATA, ROOT, Bar

ROUNDS = 5
SIZE = 224
BATCH = 32
GIVEN_MIB = 48  # the photographs take 144 MiB


def measure() -> list[Bar]:
    """Reading: medians of interleaved epochs. Memory: growth over a set of a few photographs in another process, beyond
    what the same network grows by."""
    if not (DATA / "cats-dogs").is_dir():
        raise SystemExit(f"no cats-dogs in {DATA}: set LAYERLAB_DATA")
    with tempfile.TemporaryDirectory(prefix="layerlab-photographs-") as name:
        folder = Path(name)
        _sort(folder)
        reading = _run("reading", folder)
        print(
            f"  an epoch of reading: ImageFolder + DataLoader {reading['tutorial']:.2f} s, resident "
            f"{reading['resident']:.3f} s, streamed {reading['streamed']:.3f} s; photographs decoded after the first "
            f"epoch: {reading['decoded']}"
        )
        times = _run("epochs", folder)
        print(f"  eight batches of ResNet18: resident {times['resident']:.2f} s, streamed {times['streamed']:.2f} s")
        tiny, whole = _run("tiny", folder)["peak"], _run("streamed", folder)["peak"]
        print(f"  peak of a process: 64 photographs {tiny / 2**20:.0f} MiB, 1,000 streamed {whole / 2**20:.0f} MiB")
    return [
        Bar("photographs decoded after the first epoch", reading["decoded"], at_most=0),
        Bar("resident batches : ImageFolder + DataLoader(2)", reading["resident"] / reading["tutorial"], at_most=0.1),
        Bar("streamed batches : ImageFolder + DataLoader(2)", reading["streamed"] / reading["tutorial"], at_most=0.1),
        Bar("memory of a streamed set : memory given", (whole - tiny) / (GIVEN_MIB * 2**20), at_most=1.0),
        Bar("ResNet18, streamed : resident", times["streamed"] / times["resident"], at_most=1.3),
    ]


def _sort(folder: Path) -> None:
    """The photographs as ImageFolder wants them, as links; and a few of them by themselves."""
    for path in sorted((DATA / "cats-dogs").glob("*.jpg")):
        kind, number, _ = path.name.split(".")
        for root in ("all", "tiny") if int(number) < 32 else ("all",):
            (folder / root / kind).mkdir(parents=True, exist_ok=True)
            (folder / root / kind / path.name).symlink_to(path)


def _run(what: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.photographs", what, str(folder)]
    environment = os.environ | {"LAYERLAB_CACHE": str(folder / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} left with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _prepared(folder: Path, name: str, memory: str):  # type: ignore[no-untyped-def]
    from engine.calls import parse_call
    from engine.data.info import Place
    from engine.data.prepare import prepare
    from engine.spec import Data

    call = parse_call(f'ImageFolder("{folder / name}", size={SIZE})')
    data = Data(source=call, batch_size=BATCH, validation=parse_call("none()"), memory=memory)
    return prepare(data, seed=0, device="cpu", place=Place(folder))


def reading(folder: Path) -> dict[str, float]:
    """Seconds of an epoch of batches, nothing computed with them."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    from engine.data import decoding

    resident = _prepared(folder, "all", "auto").train
    streamed = _prepared(folder, "all", f"{GIVEN_MIB} MiB").train
    before = decoding.count
    steps = [transforms.Resize(SIZE), transforms.CenterCrop(SIZE), transforms.ToTensor()]
    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    data = datasets.ImageFolder(str(folder / "all"), transforms.Compose([*steps, normalise]))
    tutorial = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=2)
    ways = {
        "tutorial": lambda epoch: iter(tutorial),
        "resident": lambda epoch: resident.shuffled(0, epoch, BATCH),
        "streamed": lambda epoch: streamed.shuffled(0, epoch, BATCH),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(ROUNDS):
        for name, batches in ways.items():
            began = time.perf_counter()
            for _ in batches(epoch):
                pass
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in seconds.items()} | {"decoded": decoding.count - before}


class _Trainer:
    """ResNet18 of torchvision, trained as the tutorials do. Of each photograph it sees every third pixel, so that an
    epoch takes seconds: that makes reading count for more, not for less."""

    def __init__(self) -> None:
        import torch
        from torchvision.models import resnet18

        torch.manual_seed(0)
        self.network = resnet18(num_classes=2)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)

    def epoch(self, part, number: int, most: int = 1 << 30) -> float:  # type: ignore[no-untyped-def]
        began = time.perf_counter()
        for batch in part.shuffled(0, number, BATCH):
            if batch.number >= most:
                break
            self.optimizer.zero_grad()
            self.loss(self.network(batch.inputs[:, :, ::3, ::3]), batch.targets).backward()
            self.optimizer.step()
        return time.perf_counter() - began


def epochs(folder: Path) -> dict[str, float]:
    """Seconds of eight batches of training, interleaved."""
    resident, streamed = (_prepared(folder, "all", memory).train for memory in ("auto", f"{GIVEN_MIB} MiB"))
    trainer = _Trainer()
    trainer.epoch(resident, 0, 4)
    seconds: dict[str, list[float]] = {"resident": [], "streamed": []}
    for number in range(3):
        seconds["resident"].append(trainer.epoch(resident, number, 8))
        seconds["streamed"].append(trainer.epoch(streamed, number, 8))
    return {name: statistics.median(found) for name, found in seconds.items()}


def peak(folder: Path, name: str) -> dict[str, float]:
    """The most memory that a process ever had, in bytes, training from a set that is streamed."""
    import resource

    part = _prepared(folder, name, f"{GIVEN_MIB} MiB" if name == "all" else "1 MiB").train
    trainer = _Trainer()
    for number in range(1 if name == "all" else 3):
        trainer.epoch(part, number)
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def main() -> None:
    what, folder = sys.argv[1], Path(sys.argv[2])
    works = {
        "reading": reading,
        "epochs": epochs,
        "tiny": lambda where: peak(where, "tiny"),
        "streamed": lambda where: peak(where, "all"),
    }
    print(json.dumps(works[what](folder)))


if __name__ == "__main__":
    main()
