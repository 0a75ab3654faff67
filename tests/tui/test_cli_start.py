"""How the command line begins and ends: help, time, imports, errors, exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RequestError, RunError, SpecError
from tui.cli import root

HEAVY = ("torch", "torchvision", "pydantic", "textual", "sklearn", "numpy")


def layerlab(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tui.cli", *arguments], capture_output=True, text=True, timeout=60, **more
    )


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, tui.cli.root; print([name for name in {HEAVY!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "[]"


def test_help_is_quick_and_names_every_command() -> None:
    seconds: dict[str, list[float]] = {"--help": [], "typer": []}
    for _ in range(3):
        began = time.perf_counter()
        told = layerlab("--help")
        seconds["--help"].append(time.perf_counter() - began)
        assert told.returncode == 0
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import typer, rich.console"], timeout=60, check=True)
        seconds["typer"].append(time.perf_counter() - began)
    # What any such command line has to import is the yardstick, as others may be at work here.
    assert min(seconds["--help"]) < 5 * min(seconds["typer"])
    commands = "demo new check open train resume watch stop control runs show compare catalogue doctor version"
    for name in commands.split():
        assert f" {name} " in told.stdout
        assert "Example" in layerlab_help(name)


def layerlab_help(name: str) -> str:
    from typer.testing import CliRunner

    told = CliRunner().invoke(root.app, [name, "--help"])
    assert told.exit_code == 0, told.output
    return told.output


def test_without_a_terminal_it_says_how_to_go_on() -> None:
    told = layerlab(stdin=subprocess.DEVNULL)
    assert told.returncode == 2
    assert told.stdout == ""
    assert "layerlab demo" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), (None, None)),
        (("--runs", "store", "--data", "sets"), ("store", "sets")),
        (("open", "mine.toml", "--runs", "store", "--data", "sets"), ("store", "sets")),
        (("--runs", "store", "open", "mine.toml"), ("store", None)),
    ],
)
def test_the_application_opens_with_the_store_and_the_data_that_were_named(
    arguments: tuple[str, ...], expected: tuple[str | None, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tui.sitting

    opened: list[tuple[Any, ...]] = []

    def run(path: Path | None, *, store: Path, data_folder: Path, download: bool) -> int:
        opened.append((path, store, data_folder))
        return 0

    monkeypatch.setattr(tui.sitting, "run", run)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("LAYERLAB_RUNS", "other")
    monkeypatch.setenv("LAYERLAB_DATA", "others")
    assert root.run(list(arguments)) == 0
    store, data = expected
    file = Path("mine.toml") if "open" in arguments else None
    assert opened == [(file, Path(store or "other"), Path(data or "others"))]
    assert os.environ["LAYERLAB_RUNS"] == "other"


def test_a_wrong_option_is_one_json_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["runs", "--nonsense", "--json"]) == 2
    told = capsys.readouterr()
    assert "--nonsense" in json.loads(told.out)["error"]["message"]
    assert told.err.startswith("error: ")


def test_a_hostile_command_is_shown_safely(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["\x1b]52;c;x\x07[/foo]\u202e"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert not any(character in told.err for character in "\x1b\x07\u202e")
    assert "[/foo]" in told.err


class Raises:
    """A typer application whose only act is to raise."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, **given: Any) -> int:
        raise self._error


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[BaseException, list[str]], int]:
    monkeypatch.setenv("LAYERLAB_CACHE", str(tmp_path / "cache"))

    def run(error: BaseException, arguments: list[str]) -> int:
        monkeypatch.setattr(root, "app", Raises(error))
        return root.run(arguments)

    return run


def test_errors_are_words_and_a_status(
    raising: Callable[[BaseException, list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(RequestError("no such run"), []) == 2
    assert capsys.readouterr().err == "error: no such run\n"
    assert raising(RunError("the disk is full"), []) == 1
    assert raising(KeyboardInterrupt(), []) == 130

    spec = SpecError("wrong", field="data.batch_size", file="a.toml", line=3, hint="use 64")
    assert raising(spec, ["--json"]) == 2
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "ok": False,
        "error": {"message": "wrong", "field": "data.batch_size", "file": "a.toml", "line": 3, "hint": "use 64"},
    }
    assert "a.toml:3: data.batch_size: wrong; use 64" in told.err


def test_a_bug_is_one_line_and_its_traceback_a_file(
    raising: Callable[[BaseException, list[str]], int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert raising(ZeroDivisionError("a\x1b[2Jb"), ["--json"]) == 1
    told = capsys.readouterr()
    assert "this is a bug in layerlab: ZeroDivisionError: a␛[2Jb" in told.err
    assert "Traceback" not in told.err
    assert json.loads(told.out)["error"]["message"].startswith("ZeroDivisionError")
    assert "Traceback" in (tmp_path / "cache" / "last-error.txt").read_text()


def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        told = subprocess.run(
            [sys.executable, "-m", "tui.cli", "doctor", "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=60
        )
    finally:
        os.close(writing)
    assert told.returncode == 0
    assert told.stderr == b""


def test_a_terminal_that_is_not_utf8_ends_no_command() -> None:
    told = layerlab("version", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert told.returncode == 0, told.stderr
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tui.cli.root import run; from tui.output import write; run(['version']); write('×')",
        ],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert shown.returncode == 0, shown.stderr
    assert rb"\xd7" in shown.stdout


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert root.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"layerlab {version('layerlab')}, Python 3.")
    assert root.run(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["torch"] == version("torch")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc to see which threads there are")
@pytest.mark.parametrize("later", [0.05, 0.2])
def test_an_interruption_while_a_thread_is_at_work_ends_without_a_word(later: float) -> None:
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "check", "cnn"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=alone,
    ) as process:  # fmt: skip
        threads = Path(f"/proc/{process.pid}/task")
        while process.poll() is None and len(list(threads.iterdir())) < 2:
            time.sleep(0.01)
        time.sleep(later)
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=60)
    assert (process.returncode, output, error) == (130, "", "")
