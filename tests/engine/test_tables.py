"""Tables: what is read, and that what is wrong is refused with file, line, column and value."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from engine.data.info import Place
from engine.data.tables import CSV
from engine.errors import RequestError


@pytest.fixture
def load(tmp_path):
    def read(text, target="y", **options):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return CSV(str(path), target, **options).load(Place(tmp_path))

    return read


@pytest.fixture
def refused(load, tmp_path):
    def message(text, target="y", **options):
        with pytest.raises(RequestError) as caught:
            load(text, target, **options)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


def test_numbers_and_categories_become_columns_in_order(load):
    loaded = load("age,colour,height,y\n1,red,2.5,a\n-3,blue,1e2,b\n5, red ,0,a\n")
    # The categories of a column stand in alphabetical order: blue, red.
    assert loaded.train.inputs.tolist() == [[1, 0, 1, 2.5], [-3, 1, 0, 100], [5, 0, 1, 0]]
    assert loaded.train.targets.tolist() == [0, 1, 0]
    assert loaded.info.input_shape == (4,)
    assert loaded.info.classes == ("a", "b")
    assert (loaded.info.kind, loaded.info.outputs, loaded.info.train) == ("classes", 2, 3)
    assert loaded.train.inputs.dtype == torch.float32
    assert loaded.train.targets.dtype == torch.int64


@given(st.lists(st.tuples(st.sampled_from("cabd"), st.sampled_from("xyz")), min_size=2, max_size=20))
@settings(max_examples=30, deadline=None)
def test_one_hot_equals_scikit_learn(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text("p,q,y\n" + "".join(f"{p},{q},{i / 7}\n" for i, (p, q) in enumerate(rows)))
    inputs = CSV(str(path), "y").load(Place(path.parent)).train.inputs
    expected = OneHotEncoder(sparse_output=False).fit_transform(np.array(rows))
    assert inputs.tolist() == expected.tolist()


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)


@given(st.lists(st.tuples(texts.filter(str.strip), st.floats(-1e6, 1e6)), min_size=1, max_size=15), st.data())
@settings(max_examples=60, deadline=None)
def test_what_csv_writes_is_read_back(tmp_path_factory, rows, data):
    delimiter = data.draw(st.sampled_from(",;\t|"))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["first", "y"])
    writer.writerows((f"t{text}\nmore", number) for text, number in rows)
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(buffer.getvalue(), newline="")
    loaded = CSV(str(path), "y", kind="values").load(Place(path.parent))
    assert loaded.train.targets.flatten().tolist() == [float(np.float32(number)) for _, number in rows]
    assert loaded.train.inputs.sum(1).tolist() == [1.0] * len(rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_endings_are_found_out(load, delimiter, ending):
    text = ending.join(delimiter.join(row) for row in (("a", "b", "y"), ("1", "2", "3.5"), ("4", "5", "6.5")))
    assert load("\ufeff" + text).train.inputs.tolist() == [[1, 2], [4, 5]]


def test_decimal_commas(load, refused):
    text = "a;y\n1,5;2\n1.000,5;3,25\n"
    assert load(text, decimal=",").train.inputs.tolist() == [[1.5], [1000.5]]
    assert "decimal=','" in refused("a;y\n1,5;2\n2,5;3\n")


def test_kind_of_the_target(load):
    def kind(values, **options):
        text = "x,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
        info = load(text, **options).info
        return info.kind, info.outputs, info.classes

    assert kind(["0", "1", "2", "1"]) == ("classes", 3, ("0", "1", "2"))
    assert kind(["no", "yes", "no"]) == ("classes", 2, ("no", "yes"))
    assert kind(["0.5", "1", "2"]) == ("values", 1, ())
    assert kind(["1", "2", "3"]) == ("values", 1, ())
    assert kind(["0", "2", "2"]) == ("values", 1, ())
    assert kind(range(20)) == ("classes", 20, tuple(map(str, range(20))))
    assert kind(range(21)) == ("values", 1, ())
    assert kind(range(21), kind="classes")[0] == "classes"
    assert kind(["0", "1", "1"], kind="values") == ("values", 1, ())


def test_regression_targets_are_float32_columns(load):
    targets = load("x,y\n1,2.5\n2,-1\n").train.targets
    assert targets.tolist() == [[2.5], [-1.0]]
    assert targets.dtype == torch.float32


def test_columns_chooses_inputs_in_the_order_given(load):
    assert load("a,b,c,y\n1,2,3,4.5\n5,6,7,8\n", columns=("c", "a")).train.inputs.tolist() == [[3, 1], [7, 5]]


def test_without_a_header(load, refused):
    assert load("1,2,0.5\n3,4,6\n", "column3", header=False).train.inputs.tolist() == [[1, 2], [3, 4]]
    assert refused("1,2,0.5\n3,4,6\n", "column3").startswith(
        "table.csv: line 1 holds numbers (1, 2, 0.5) where the names"
    )


def test_missing_values_are_refused_or_dropped(load, refused):
    text = "a,b,y\n1,red,0\n,blue,1\n3,red,1\n4,,0\n5,blue,NaN\n"
    assert refused(text).startswith("table.csv: line 3, column a: '' where a value should be (3 of 5 rows lack one)")
    loaded = load(text, missing="drop")
    assert loaded.train.inputs.tolist() == [[1, 1], [3, 1]]  # blue is gone with its rows
    assert loaded.train.targets.tolist() == [0, 1]
    assert load(text, missing="drop", columns=("a",)).info.train == 3
    assert "every row" in refused("a,y\n,1\n2,\n", missing="drop")
    # A category may be called NA; a number may not.
    assert load("a,y\nNA,0.5\nEU,1\n").train.inputs.tolist() == [[0, 1], [1, 0]]
    assert "line 3, column a: 'NA'" in refused("a,y\n1,0.5\nNA,1\n")


def test_lines_are_those_of_the_editor(refused):
    text = '\n"a","note",y\n1,"two\nlines",0.5\n\n2,plain,0.5\nx,more,0.5\n3,more,0.1\n'
    assert refused(text).startswith("table.csv: line 7, column a: 'x' where a number should be (3 of 4 values")


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("x,y\n1,1\n2,2\n", {"kind": "classes"}, "column y: the smallest label is 1 (line 2), but labels begin at 0"),
        ("x,y\n1,0\n2,3\n3,1\n", {"kind": "classes"}, "no sample has label 2, but line 3 has label 3"),
        ("x,y\n1,0\n2,-1\n", {"kind": "classes"}, "label -1 (line 3) is negative"),
        ("x,y\n1,0\n2,0\n", {"kind": "classes"}, "every sample has label 0"),
        ("x,y\n1,0\n2,1.5\n", {"kind": "classes"}, "line 3, column y: 1.5 is not a label"),
        ("x,y\n1,0\n2,1e30\n", {"kind": "classes"}, "line 3, column y: 1e30 is not a label"),
        ("x,y\n1,a\n2,a\n", {}, "every row has 'a' in column y"),
        ("x,y\n1,a\n2,b\n", {"kind": "values"}, "line 2, column y: 'a' where a number should be"),
        ("x,y\n1,inf\n2,3\n", {}, "line 2, column y: 'inf' is not a finite number"),
        ("x,y\n1e39,1\n2,3\n", {}, "line 2, column x: '1e39' is not a finite number"),
        ("x,y\n1,2\n3\n", {}, "line 3: 1 values, but there are 2 columns (x, y)"),
        ("x,y\n1,2\n3,4,5\n", {}, "line 3: 3 values, but there are 2 columns"),
        ("x,x,y\n1,2,3\n", {}, "columns 1 and 2 are both called 'x'"),
        ("x,,y\n1,2,3\n", {}, "column 2 has no name"),
        ("x,y\n", {}, "has a header but no rows"),
        ("\n \n", {}, "is empty"),
        ("", {}, "is empty"),
        ('x,y\n1,"2\n3,4\n', {}, "line 2: a quoted value begins here and never ends"),
        ('x,y\n1,"2"3\n', {}, "line 2: text follows a closing quote"),
        (b"x,y\n1,2\n3,\xff\n", {}, "line 3: byte 0xff is not UTF-8"),
        ("x,y\n1,2\n".encode("utf-16"), {}, "UTF-16"),
        ("x,y\n1,2\n", {"target": "Y2"}, "did you mean `y`? Its columns are: x, y"),
        ("x,y\n1,2\n", {"columns": ("z",)}, "no column 'z'"),
        ("x,y\n1,2\n", {"columns": ("x", "y")}, "cannot be among the inputs"),
        ("y\n1\n2\n", {}, "has only the target's column"),
        ("x,y\n1,2\n", {"kind": "class"}, "'auto', 'classes', 'values'"),
        ("x,y\n1,2\n", {"missing": "mean"}, "'refuse', 'drop'"),
        ("n,y\n" + "".join(f"name{i},{i / 3}\n" for i in range(50)), {}, "50 different texts in 50 rows"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(refused, text, options, words):
    assert words in refused(text, **options)


def test_paths_that_hold_no_table(tmp_path):
    def message(path):
        with pytest.raises(RequestError) as caught:
            CSV(str(path), "y").load(Place(tmp_path))
        return str(caught.value)

    assert "is a folder" in message(tmp_path)
    assert f"looked for {tmp_path / 'none.csv'}" in message(tmp_path / "none.csv")
    assert "not an ordinary file" in message("/dev/null")
    assert f"{tmp_path / 'other.csv'}" in message("other.csv")


def test_a_relative_path_is_seen_from_here_then_from_the_data_folder(tmp_path, monkeypatch):
    here, data = tmp_path / "here", tmp_path / "data"
    for folder, value in ((here, 1), (data, 2)):
        folder.mkdir()
        (folder / "t.csv").write_text(f"x,y\n{value},0.5\n3,1\n")
    monkeypatch.chdir(here)
    assert CSV("t.csv", "y").load(Place(data)).train.inputs[0] == 1
    (here / "t.csv").unlink()
    assert CSV("t.csv", "y").load(Place(data)).train.inputs[0] == 2


def test_info_follows_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,0\n2,1\n")
    source = CSV(str(path), "y")
    assert source.info(Place(tmp_path)).train == 2
    path.write_text("x,y\n1,0\n2,1\n3,1\n")
    assert source.info(Place(tmp_path)).train == 3


@given(st.text(st.sampled_from('xy01.,;"\n\r\t a-eNA\0é'), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_in_words(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("x,y\n1,2\n" + text, newline="")
    # Anything but a RequestError ends the test.
    with contextlib.suppress(RequestError):
        loaded = CSV(str(path), "y").load(Place(path.parent))
        assert torch.isfinite(loaded.train.inputs).all()
        assert len(loaded.train.inputs) == len(loaded.train.targets) == loaded.info.train


def test_loading_does_not_write(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,0\n2,1\n")
    CSV(str(path), "y").load(Place(Path(tmp_path)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.csv"]
