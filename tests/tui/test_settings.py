"""The settings file: what it may say, and that a wrong one costs nothing but what is wrong in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import catalogue
from tests.tui.cli import CommandLine
from tests.tui.fake_training import application, screen_text
from tui.commands import COMMANDS
from tui.settings import Settings, load_settings, settings_path
from tui.state import State

GOOD = """
theme = "light"
allow = ["mypackage", "other.blocks"]
store = "~/runs"
data = "/data"

[keys]
"compose.add" = "insert"
"""


def loaded(tmp_path: Path, text: str) -> tuple[Settings, list[str]]:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    settings, problems = load_settings(path)
    assert all(problem.startswith(str(path)) for problem in problems)
    return settings, [problem.removeprefix(str(path)) for problem in problems]


def test_every_setting_is_read(tmp_path: Path) -> None:
    settings, problems = loaded(tmp_path, GOOD)
    assert problems == []
    assert settings.theme == "light"
    assert settings.allow == ("mypackage", "other.blocks")
    assert settings.store == Path.home() / "runs"
    assert settings.data == Path("/data")
    assert dict(settings.keys) == {"compose.add": "insert"}


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml") == (Settings(), [])
    assert load_settings(None) == (Settings(), [])


def test_a_file_that_was_named_and_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERLAB_CONFIG", str(tmp_path / "none.toml"))
    settings, problems = load_settings(settings_path())
    assert settings == Settings()
    assert "LAYERLAB_CONFIG" in problems[0]


def test_what_is_right_counts_beside_what_is_wrong(tmp_path: Path) -> None:
    settings, problems = loaded(tmp_path, GOOD.replace('"light"', '"lihgt"').replace('"/data"', '"data"'))
    assert settings.theme == "auto"
    assert settings.data is None
    assert settings.allow == ("mypackage", "other.blocks")
    assert len(problems) == 2
    assert "did you mean `light`?" in problems[0]
    assert "/ or ~" in problems[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("theme = dark", ":1: not TOML"),
        ('a = 1\ntheme = "dark', ":2: not TOML"),
        ("theme = 3", "`3` is not a theme"),
        ('theem = "dark"', "did you mean `theme`?"),
        ('allow = ["os; import"]', "is not a module"),
        ("allow = 4", "is not a list of modules"),
        ("store = []", "is not a folder"),
        ('store = "~nobody-of-this-name/x"', "no such home folder"),
        ("keys = 1", "keys: this is a table"),
        ("a" * (65 << 10), "larger than 64 KiB"),
        ("keys = " + "[" * 3000, ""),
        ("[keys]\ntheme = 3\n[keys.compose]\nadd = {}", "write a key in quotes"),
    ],
)
def test_mistakes_are_told_in_words(tmp_path: Path, text: str, told: str) -> None:
    settings, problems = loaded(tmp_path, text)
    assert settings == Settings()
    assert any(told in problem for problem in problems)


def test_what_is_no_text_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"theme = \xff")
    assert "UTF-8" in load_settings(path)[1][0]
    assert "not a regular file" in load_settings(tmp_path)[1][0]
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "not a regular file" in load_settings(fifo)[1][0]


def test_a_linked_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "kept.toml").write_text('theme = "ansi"')
    (tmp_path / "link.toml").symlink_to(tmp_path / "kept.toml")
    assert load_settings(tmp_path / "link.toml") == (Settings(theme="ansi"), [])


@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode())))
def test_no_content_raises(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    settings, problems = load_settings(path)
    assert settings == Settings() or not problems


def test_the_file_lies_where_the_environment_says(tmp_path: Path) -> None:
    assert settings_path({"LAYERLAB_CONFIG": "/x.toml", "XDG_CONFIG_HOME": "/c"}) == Path("/x.toml")
    assert settings_path({"XDG_CONFIG_HOME": "/c"}) == Path("/c/layerlab/settings.toml")
    assert settings_path({"XDG_CONFIG_HOME": "relative"}) == Path.home() / ".config/layerlab/settings.toml"


def test_a_command_shows_the_key_that_it_has_now(tmp_path: Path) -> None:
    settings, _ = loaded(tmp_path, '[keys]\n"compose.add" = ["^_", "f9"]\n"compose.undo" = "ctrl+shift+f5"')
    shown = {f"{command.where}.{command.id}": settings.shown_key(command) for command in COMMANDS}
    assert shown["compose.add"] == "^_"
    assert shown["compose.undo"] == "ctrl+shift+F5"
    assert all(shown[f"{one.where}.{one.id}"] == one.shown for one in COMMANDS if one.id not in ("add", "undo"))


def test_commands_take_store_data_and_modules_from_the_settings(
    layerlab: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui.cli.options import allowed, data_folder, store_folder

    monkeypatch.setenv("LAYERLAB_CONFIG", str(tmp_path / "settings.toml"))
    (tmp_path / "settings.toml").write_text(f'store = "{tmp_path}/s"\ndata = "{tmp_path}/d"\nallow = ["mine"]')
    assert store_folder(None) == tmp_path / "s"
    assert data_folder(None) == tmp_path / "d"
    assert allowed(["other"]) == ("other", "mine")
    assert store_folder(Path("given")) == Path("given")
    monkeypatch.setenv("LAYERLAB_RUNS", "/env")
    assert store_folder(None) == Path("/env")


def test_a_module_of_the_settings_can_be_used_and_no_other(
    layerlab: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("from torch import nn\n\n\nclass Twice(nn.Identity):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(catalogue, "ALLOWED_MODULES", set(catalogue.ALLOWED_MODULES))
    own = layerlab.write("own", layers='"mine:Twice()", "Linear(classes)"')
    refused = layerlab("check", own)
    assert refused.status == 2
    assert "mine" in refused.err
    (tmp_path / "config" / "layerlab").mkdir(parents=True)
    (tmp_path / "config" / "layerlab" / "settings.toml").write_text('allow = ["mine"]')
    assert layerlab("check", own).status == 0


def test_the_settings_of_the_readme_are_right(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    example = text.partition("## Settings")[2].partition("```toml\n")[2].partition("```")[0]
    settings, problems = loaded(tmp_path, example)
    assert problems == []
    assert len(settings.keys) == 3


async def test_a_newcomer_is_told_first_what_is_wrong_with_the_settings(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    app.state = State(None)
    app.tell("settings.toml: there is no setting `colour`", wrong=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert "there is no setting `colour`" in screen_text(app)
