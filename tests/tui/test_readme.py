"""What the README says: keys, commands, files, filters and pictures are those that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer

from docs import keys
from engine.presets import PRESETS
from engine.spec import parse_experiment
from tui.commands import COMMANDS
from tui.filtering import parse_filter
from tui.keymap import binding_id
from tui.settings import load_settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCKS = [(found[1], found[2]) for found in re.finditer(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)]
PICTURES = ("compose", "train", "runs", "compare")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def command_lines() -> list[str]:
    """What follows `layerlab` wherever the README says what to type."""
    typed = [line for language, block in BLOCKS if not language for line in block.splitlines()]
    typed += re.findall(r"`((?:\w+=\S+ )?layerlab[^`]*)`", README)
    return [line for line in typed if re.match(r"(\w+=\S+ )?layerlab( |$)", line)]


def test_the_table_of_keys_is_what_the_declarations_say() -> None:
    assert keys.put_in(README) == README, "run `python -m docs.keys`"


def test_the_table_names_every_command() -> None:
    for command in COMMANDS:
        assert f"`{binding_id(command)}` |" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_linked_is_there(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name} links {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in [title.lower().replace(" ", "-") for title in titles]


def test_there_are_command_lines() -> None:
    assert len(command_lines()) > 20


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_can_be_typed(line: str) -> None:
    from tui.cli.root import app

    _, *arguments = shlex.split(line[line.index("layerlab") :], comments=True)
    group = typer.main.get_command(app)
    context = group.make_context("layerlab", ["--version"], resilient_parsing=True)
    if not arguments or arguments[0].startswith("-"):
        group.make_parser(context).parse_args(arguments)
        return
    name, command, rest = group.resolve_command(context, arguments)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(command.context_class(command, info_name=name), rest)
    parsed, left, _ = command.make_parser(command.context_class(command, info_name=name)).parse_args(rest)
    assert not left
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known
    assert set(parsed) <= {parameter.name for parameter in command.params}


def test_an_unknown_option_would_be_seen() -> None:
    with pytest.raises(Exception, match="--nothing"):
        test_a_command_line_can_be_typed("layerlab runs --nothing")


def test_experiments_and_settings_can_be_read(tmp_path: Path) -> None:
    written = [block for language, block in BLOCKS if language == "toml"]
    experiments = [block for block in written if "[network]" in block]
    assert [parse_experiment(text).name for text in experiments] == ["batchnorm", "cats-dogs-resnet18"]
    assert all(text == PRESETS[parse_experiment(text).name].toml for text in experiments)
    (settings,) = (block for block in written if "[keys]" in block)
    path = tmp_path / "settings.toml"
    path.write_text(settings)
    found, problems = load_settings(path)
    assert problems == []
    assert found.keys


def test_filters_can_be_read() -> None:
    table = README.partition("| filter | finds |")[2].partition("\n\n")[0]
    filters = [text for row in table.splitlines()[2:] for text in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(filters) > 10
    for text in filters:
        assert not parse_filter(text).empty


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_an_svg_that_needs_nothing_else(name: str) -> None:
    text = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text()
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    assert (left, top) == (0, 0)
    assert width > height > 500
    # No font, style or picture of another site: pages do not load them.
    assert "url(http" not in text
    assert "href" not in text
    assert "monospace" in text
    lines = {}
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        said = "".join(element.itertext())
        lines.setdefault(element.attrib.get("y"), []).append(said)
        for word in element:
            assert len(word.attrib["x"].split()) == len(word.text or ""), "every character has its place"
    shown = " ".join(" ".join(words) for words in lines.values())
    for word in ("layerlab", "Compose", "Train", "Runs", "Compare", "help"):
        assert word in shown
    assert f"docs/pictures/{name}.svg" in README
