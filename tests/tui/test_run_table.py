"""The rows of Runs: what is left of a name and of a source where there is little room."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.store.listing import Summary
from tests.tui.one_widget import OneWidget, text_of
from tui.run_columns import DEFAULT, DEFAULT_SORT, column
from tui.widgets.run_table import RunTable


def run(name: str, source: str = "Digits()") -> Summary:
    return Summary(f"20260101T000000Z-{name}", Path("x"), name.rsplit("-", 1)[0], "finished", source=source)


@pytest.mark.parametrize("width", [74, 60, 40])
async def test_names_that_begin_alike_are_told_apart_by_their_ends(width: int) -> None:
    runs = [run("cats-dogs-vgg16-k795"), run("cats-dogs-vgg16-cached-55u6"), run("cats-dogs-vgg16-cached-wjep")]
    table = RunTable(lambda name: None, id="it")
    async with OneWidget(table).run_test(size=(width, 8)) as pilot:
        columns = [found for name in DEFAULT if (found := column(name)) is not None]
        table.show(runs, columns, DEFAULT_SORT, 0.0, ())
        await pilot.pause()
        names = [row.split()[1] for row in text_of(table)[1:4]]
        assert [name[-4:] for name in names] == ["k795", "55u6", "wjep"]
        assert all(name.startswith("cats-d") for name in names)
        assert all(len(row) <= width for row in text_of(table))


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("LabelledFiles('cats-dogs', size=64)", "cats-dogs"),
        ("ImageFolder('/data/pets/', size=64)", "pets"),
        ("CSV(path=\"tables/houses.csv\", target='price')", "houses.csv"),
        ("Digits()", "Digits"),
        ("Moons(noise=0.1)", "Moons(noise=0.1)"),
        ("", "–"),
    ],
)
def test_data_is_called_by_its_folder_or_file(source: str, shown: str) -> None:
    data = column("data")
    assert data is not None
    assert data.cell(run("a-b", source), 0.0)[0] == shown
