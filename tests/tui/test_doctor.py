"""What `layerlab doctor` finds out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tui import doctor
from tui.cli import root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_file_system_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    home = tmp_path.resolve()
    mounts = tmp_path / "mounts"
    inner = home / "with space"
    inner.mkdir()
    escaped = str(inner).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {home} nfs4 rw 0 0\ntmpfs {escaped} tmpfs rw 0 0\n")
    assert doctor.file_system(home, mounts) == "nfs4"
    assert doctor.file_system(inner, mounts) == "tmpfs"
    assert doctor.file_system(Path("/"), mounts) == "ext4"
    assert doctor.file_system(home, tmp_path / "missing") == ""


def test_a_store_that_is_a_file_fails_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store\x1b[2J"
    store.write_text("")
    assert root.run(["doctor", "--runs", str(store), "--data", str(tmp_path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    [failed] = [one for one in told["findings"] if one["state"] == "failed"]
    assert failed["topic"] == "store"
    assert "--runs" in failed["advice"]

    assert root.run(["doctor", "--runs", str(store), "--data", str(tmp_path)]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_a_healthy_machine_is_told_with_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "MNIST").mkdir()
    assert root.run(["doctor", "--runs", str(tmp_path / "new" / "runs"), "--data", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "✓ torch" in told
    assert "will be made by the first run" in told
    assert "MNIST" in told
    assert not (tmp_path / "new").exists(), "looking makes nothing"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_store_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert doctor.store_findings(tmp_path)[0].state == doctor.FAILS
    finally:
        tmp_path.chmod(0o700)


def test_one_look_that_breaks_keeps_none_of_the_others_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[doctor.Finding]:
        raise RuntimeError("no driver")

    monkeypatch.setattr(doctor, "memory", broken)
    found = doctor.examine(tmp_path, tmp_path)
    assert next(one for one in found if one.topic == "memory").found.endswith("RuntimeError: no driver")
    assert found[-1].topic == "logout"
