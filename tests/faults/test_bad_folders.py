"""Folders of photographs as people have them: each ends in words that name the file, or is trained on and told of."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from engine.calls import parse_call
from engine.data import decoding
from engine.data.folders import by_folder
from engine.data.info import Place
from engine.data.sources import build_source
from engine.errors import RequestError, RunError
from tests.engine.pictures import image_folder, labelled_files, picture, save
from tests.engine.training import experiment, train

SIZE = "size=16"
HERE = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "pets", {"cat": 4, "dog": 4})


def load(root: Path, more: str = "", kind: str = "ImageFolder"):
    call = f'{kind}("{root.name}", {SIZE}{more and ", " + more})'
    return build_source(parse_call(call)).load(Place(root.parent))


def refused(root: Path, *words: str, more: str = "", kind: str = "ImageFolder") -> str:
    with pytest.raises(RequestError) as caught:
        load(root, more, kind)
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert "Traceback" not in text
    assert "\n" not in text
    return text


def left_out(root: Path, count: int, *words: str) -> None:
    """With on_error="skip" the rest is there, and what was left out is told."""
    loaded = load(root, 'on_error="skip"')
    assert len(loaded.train.inputs) == len(loaded.train.targets) == count
    told = " ".join(loaded.notes)
    for word in words:
        assert word in told, told


def test_a_class_without_photographs(pets):
    (pets / "emu").mkdir()
    (pets / "emu" / "Thumbs.db").write_bytes(b"\0" * 100)
    refused(pets, "emu", "no photograph", "on_error='skip'")
    left_out(pets, 8, "emu", "left out")
    assert load(pets, 'on_error="skip"').info.classes == ("cat", "dog")


def test_one_class(tmp_path):
    root = image_folder(tmp_path / "pets", {"cat": 3})
    refused(root, "one class", "'cat'", "LabelledFiles")
    for number in range(3):
        save(tmp_path / "flat" / f"cat.{number}.jpg", number)
    refused(tmp_path / "flat", "all 3", "'cat'", kind="LabelledFiles")


@pytest.mark.parametrize("kind", ["ImageFolder", "LabelledFiles"])
def test_no_photographs_at_all(tmp_path, kind):
    (tmp_path / "pets").mkdir()
    refused(tmp_path / "pets", str(tmp_path / "pets"), kind=kind)
    (tmp_path / "pets" / "letter.txt").write_text("Dear")
    refused(tmp_path / "pets", str(tmp_path / "pets"), kind=kind)


@pytest.mark.parametrize("kind", ["ImageFolder", "LabelledFiles"])
def test_a_flat_folder_or_a_folder_of_classes_taken_for_the_other(tmp_path, kind):
    if kind == "ImageFolder":
        refused(labelled_files(tmp_path / "pets"), "LabelledFiles", kind=kind)
    else:
        refused(image_folder(tmp_path / "pets", {"cat": 2, "dog": 2}), "ImageFolder", "cat, dog", kind=kind)


def test_a_folder_that_is_not_there_or_is_a_file(tmp_path):
    refused(tmp_path / "nowhere", "looked for", str(tmp_path))
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "is a file")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "no picture that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "no picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture that can be read"),
        (b"P6\n10 10\n255\n" + b"\x01" * 20, "damaged"),
    ],
    ids=["empty", "a JPEG's first bytes", "PostScript", "SVG", "half a PPM"],
)
def test_a_file_that_is_no_picture(pets, content, words):
    (pets / "dog" / "000.jpg").write_bytes(content)
    refused(pets, str(Path("dog") / "000.jpg"), words, "on_error='skip'")
    left_out(pets, 7, "1 of 8", "dog/000.jpg")


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "gif", "tif", "bmp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_picture(tmp_path, ending, share):
    root = image_folder(tmp_path / "pets", {"cat": 2, "dog": 2}, ending=ending)
    path = root / "cat" / f"001.{ending}"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(root, f"001.{ending}")
    left_out(root, 3, f"cat/001.{ending}")


def test_a_picture_cut_at_any_byte_is_read_or_refused_in_words(tmp_path):
    whole = save(tmp_path / "whole.jpg", 3).read_bytes()
    for end in range(0, len(whole), 17):
        (tmp_path / "cut.jpg").write_bytes(whole[:end])
        with pytest.raises(decoding.Unreadable, match="cut"):
            decoding.decode(tmp_path / "cut.jpg", decoding.Settings(16))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(pets):
    path = pets / "cat" / "001.jpg"
    path.chmod(0)
    refused(pets, "001.jpg", "Permission denied")
    left_out(pets, 7, "001.jpg")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert len(load(pets).train.inputs) == 8


def test_a_png_that_is_called_jpg_is_read_and_told(pets):
    picture(5).save(pets / "cat" / "new.jpg", format="PNG")
    loaded = load(pets)
    assert len(loaded.train.inputs) == 9
    assert any("cat/new.jpg (PNG)" in note for note in loaded.notes)
    assert load(pets).notes == loaded.notes
    save(pets / "dog" / "new.jpg", 5)
    assert "not what their names say" in " ".join(load(pets).notes)  # of what was decoded before, too


def test_deep_grey_cmyk_palette_and_transparent_pictures_are_samples_like_others(pets):
    Image.fromarray(np.full((30, 30), 40_000, np.uint16)).save(pets / "cat" / "deep.png")
    picture(1, mode="CMYK").save(pets / "cat" / "print.jpg")
    picture(2, mode="P").save(pets / "cat" / "web.gif")
    picture(3, mode="L").save(pets / "cat" / "grey.jpg")
    picture(4, mode="RGBA").save(pets / "cat" / "clear.png")
    lab = ImageCms.profileToProfile(
        picture(5), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(pets / "dog" / "lab.tif")
    loaded = load(pets)
    assert tuple(loaded.train.inputs.shape) == (14, 3, 16, 16)
    grey = load(pets, "colour=False")
    assert tuple(grey.train.inputs.shape) == (14, 1, 16, 16)
    whole = decoding.Settings(40, "pad", colour=False)
    pixels = decoding.decode(pets / "dog" / "lab.tif", whole)
    save(pets / "plain.png", 5)
    difference = pixels.astype(int) - decoding.decode(pets / "plain.png", whole)
    assert abs(difference).max() < 12, "the same picture, but for what LAB rounds"


def test_pixels_that_are_no_bytes_are_refused_in_words(pets):
    Image.fromarray(np.linspace(0, 1, 900, dtype=np.float32).reshape(30, 30)).save(pets / "cat" / "float.tif")
    refused(pets, "float.tif", "floating-point")


def test_links_in_a_circle_are_not_followed(pets):
    (pets / "cat" / "again").symlink_to(pets)
    (pets / "dog" / "self").symlink_to(pets / "dog")
    loaded = load(pets)
    assert len(loaded.train.inputs) == 8
    assert any("not followed" in note and "again" in note and "self" in note for note in loaded.notes)


def test_a_link_to_a_folder_above_the_source_is_no_class(tmp_path, pets):
    save(tmp_path / "private.jpg", 99)
    (pets / "up").symlink_to("..")
    (pets / "cat" / "root").symlink_to("/")
    loaded = load(pets)
    assert loaded.info.classes == ("cat", "dog")
    assert len(loaded.train.inputs) == 8
    (note,) = [note for note in loaded.notes if "not followed" in note]
    assert "links to a folder that they are in" in note
    assert "up" in note
    assert "root" in note


def test_a_folder_is_listed_once_by_its_own_path_whatever_links_lead_there(pets):
    for sub in ("2023", "2024"):
        save(pets / "cat" / sub / "1.jpg", 50 + int(sub))
    (pets / "cat" / "2023" / "next").symlink_to("../2024")
    (pets / "cat" / "2024" / "previous").symlink_to("../2023")
    (pets / "aardvark").symlink_to("cat")
    (pets / "kitten").symlink_to("cat/2023")
    (pets / "dog" / "cats").symlink_to("../cat")
    listing = by_folder(pets, skip=False)
    assert listing.classes == ("cat", "dog")
    assert listing.files == tuple(sorted(str(path.relative_to(pets)) for path in pets.glob("**/*.jpg")))
    (note,) = listing.notes
    assert note.startswith("links to a folder that is listed already were not followed: ")
    for link in ("aardvark", "kitten", "dog/cats", "cat/2023/next", "cat/2024/previous"):
        assert str(pets / link) in note


def test_links_between_many_folders_are_listed_in_no_time(pets):
    for at in range(9):
        save(pets / "cat" / f"s{at}" / "1.jpg", at)
        for other in range(9):
            (pets / "cat" / f"s{at}" / f"also{other}").symlink_to(f"../s{other}")
    assert len(by_folder(pets, skip=False).files) == 17


def test_of_two_links_to_a_folder_elsewhere_one_is_listed(tmp_path, pets):
    for number in range(3):
        save(tmp_path / "elsewhere" / "inner" / f"{number}.jpg", 70 + number)
    (pets / "emu").symlink_to(tmp_path / "elsewhere")
    (pets / "emus").symlink_to(tmp_path / "elsewhere")
    listing = by_folder(pets, skip=False)
    assert (listing.classes, len(listing.files)) == (("cat", "dog", "emu"), 11)
    assert str(pets / "emus") in listing.notes[0]


def test_validation_may_be_a_link_to_test(tmp_path):
    for part in ("train", "test"):
        image_folder(tmp_path / "pets", {"cat": 2, "dog": 2}, part)
    (tmp_path / "pets" / "validation").symlink_to("test")
    assert Counter(by_folder(tmp_path / "pets", skip=False).parts) == {"train": 4, "validation": 4, "test": 4}


def test_a_link_to_itself_or_to_nothing_is_a_file_that_cannot_be_read(pets):
    (pets / "cat" / "loop.jpg").symlink_to(pets / "cat" / "loop.jpg")
    refused(pets, "loop.jpg", "link")
    (pets / "dog" / "gone.jpg").symlink_to(pets / "nothing.jpg")
    left_out(pets, 8, "loop.jpg", "gone.jpg", "2 of 10")


def test_a_class_that_is_a_link_to_a_folder_elsewhere(tmp_path, pets):
    for number in range(3):
        save(tmp_path / "elsewhere" / f"{number}.jpg", 70 + number)
    (pets / "emu").symlink_to(tmp_path / "elsewhere")
    assert load(pets).info.classes == ("cat", "dog", "emu")


def test_a_fifo_and_a_folder_with_the_name_of_a_picture(pets):
    os.mkfifo(pets / "cat" / "pipe.jpg")
    (pets / "dog" / "folder.jpg").mkdir()
    assert len(load(pets).train.inputs) == 8


def test_two_files_of_the_same_stem_are_both_used_and_told(pets):
    save(pets / "cat" / "000.png", 9)
    loaded = load(pets)
    assert len(loaded.train.inputs) == 9
    assert any("cat/000" in note and "same name" in note for note in loaded.notes)


def test_classes_whose_names_look_the_same_are_told(tmp_path):
    names = ("Cat.1.jpg", "cat.2.jpg", "cat.3.jpg", "caf\u00e9.4.jpg", "cafe\u0301.5.jpg", "dog.6.jpg")
    for number, name in enumerate(names):
        save(tmp_path / "pets" / name, number)
    loaded = load(tmp_path / "pets", kind="LabelledFiles")
    assert len(loaded.info.classes) == 5
    (note,) = loaded.notes
    assert note.endswith(": Cat, cat, cafe\u0301, caf\u00e9")


def test_a_name_without_a_label(tmp_path):
    root = labelled_files(tmp_path / "pets", 3)
    save(root / "IMG_2041.jpg", 5)
    refused(root, "IMG_2041.jpg", "no label", kind="LabelledFiles")
    loaded = load(root, 'on_error="skip"', "LabelledFiles")
    assert len(loaded.train.inputs) == 6
    assert any("IMG_2041.jpg" in note for note in loaded.notes)


def test_parts_that_do_not_have_the_same_classes(tmp_path):
    root = image_folder(tmp_path / "pets", {"cat": 2, "dog": 2, "emu": 2}, part="train")
    image_folder(root, {"cat": 2, "dog": 2}, part="val")
    refused(root, "val", "no photographs of emu")
    image_folder(root, {"emu": 2, "fox": 2}, part="val")
    refused(root, "fox", "same classes")


def test_a_part_whose_photographs_nobody_labelled(tmp_path):
    root = image_folder(tmp_path / "pets", {"cat": 3, "dog": 3}, part="train")
    for number in range(4):
        save(root / "test" / f"{number}.jpg", number)
    refused(root, str(root / "test"), "no folders of classes", "on_error='skip'")
    loaded = load(root, 'on_error="skip"')
    assert (len(loaded.train.targets), loaded.test) == (6, None)
    assert f"left out: {root / 'test'}, which has no folders of classes" in loaded.notes


def test_folders_that_systems_make_are_no_classes(pets):
    save(pets / "__MACOSX" / "cat" / "._000.jpg", 1)
    save(pets / "cat" / "@eaDir" / "000.jpg" / "SYNOPHOTO_THUMB_M.jpg", 2)
    loaded = load(pets)
    assert (loaded.info.classes, len(loaded.train.targets), loaded.notes) == (("cat", "dog"), 8, ())


def test_two_folders_that_could_be_the_same_part(tmp_path):
    root = image_folder(tmp_path / "pets", {"cat": 2, "dog": 2}, part="train")
    image_folder(root, {"cat": 2, "dog": 2}, part="val")
    image_folder(root, {"cat": 2, "dog": 2}, part="validation")
    refused(root, "val, validation", "leave one")


def test_a_kind_that_is_not_read_is_told_and_no_error(pets):
    for name in ("001.HEIC", "002.avif", "._003.heic", "notes.txt"):
        (pets / "dog" / name).write_bytes(b"\0" * 100)
    loaded = load(pets)
    assert len(loaded.train.inputs) == 8
    assert [note for note in loaded.notes if "not read" in note] == [
        f"left out: dog/001.HEIC, dog/002.avif in {pets}, of a kind that is not read; save such pictures as JPEG or PNG"
    ]
    flat = labelled_files(pets.parent / "flat", 2)
    (flat / "cat.9.heic").write_bytes(b"\0")
    assert "cat.9.heic" in " ".join(load(flat, kind="LabelledFiles").notes)


def test_damaged_exif_data_leave_the_picture_as_it_is_and_print_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a text that is longer than four bytes"
    whole = save(tmp_path / "whole.jpg", 3, exif=exif).read_bytes()
    begin = whole.index(b"Exif\0\0") + 6
    length = len(exif.tobytes()) - 6
    random = np.random.default_rng(0)
    (tmp_path / "read.py").write_text(
        "import sys; from engine.data import decoding\n"
        "for path in sys.argv[1:]: assert decoding.decode(path, decoding.Settings(16)).shape == (3, 16, 16)\n"
    )
    paths = []
    for number in range(300):
        changed = bytearray(whole)
        for _ in range(3):
            changed[begin + int(random.integers(length))] = int(random.integers(256))
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(changed)
        paths.append(str(path))
    told = subprocess.run([sys.executable, tmp_path / "read.py", *paths], capture_output=True, text=True, env=HERE)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_exif_data_that_cannot_be_written_anew_still_turn_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "abc"
    data = bytearray(save(tmp_path / "x.jpg", 3, exif=exif).read_bytes())
    # What was a text is now said to be the picture's width, a number.
    assert data.count(b"\x01\x0e\x00\x02") == 1
    (tmp_path / "x.jpg").write_bytes(data.replace(b"\x01\x0e\x00\x02", b"\x01\x00\x00\x02"))
    with Image.open(tmp_path / "x.jpg") as opened:
        turned = np.asarray(opened.transpose(Image.Transpose.ROTATE_270).resize((16, 16), Image.Resampling.BILINEAR))
    pixels = decoding.decode(tmp_path / "x.jpg", decoding.Settings(16, "squash"))
    assert (pixels == turned.transpose(2, 0, 1)).all()


def test_what_could_not_be_read_for_a_moment_is_read_when_it_can_be(pets, monkeypatch):
    """A share of the network that hangs: a file that is left out with on_error="skip" is not so for good."""
    failing = str(pets / "dog" / "001.jpg")
    opened = open

    def flaky(path, *rest, **named):
        if str(path) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(path, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(decoding, "open", flaky, raising=False)
        left_out(pets, 7, "1 of 8 photographs", "dog/001.jpg", "Input/output error")
        left_out(pets, 7, "1 of 8 photographs")
    before = decoding.count
    loaded = load(pets, 'on_error="skip"')
    assert (len(loaded.train.inputs), loaded.notes) == (8, ())
    assert decoding.count - before <= 2  # the others are taken from what was kept
    before = decoding.count
    load(pets)
    assert decoding.count == before


@pytest.mark.parametrize("skip", [False, True])
def test_a_file_that_vanishes_while_others_are_decoded(pets, monkeypatch, skip):
    real = decoding.read

    def vanishing(path, settings):
        if path.name == "000.jpg":
            (pets / "dog" / "003.jpg").unlink(missing_ok=True)
        return real(path, settings)

    monkeypatch.setattr(decoding, "read", vanishing)
    if skip:
        left_out(pets, 7, "dog/003.jpg", "not there any more")
    else:
        refused(pets, "003.jpg", "not there any more")


def test_a_picture_with_more_pixels_than_memory(pets, monkeypatch):
    # A PNG of a few bytes that says that it has 4,000,000,000 pixels.
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 80_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    (pets / "cat" / "bomb.png").write_bytes(bomb)
    refused(pets, "bomb.png", "pixels")
    left_out(pets, 8, "bomb.png")


def test_a_strip_that_would_become_huge(pets):
    Image.new("RGB", (200_000, 1)).save(pets / "cat" / "strip.png")
    with pytest.raises(RequestError, match=r"strip\.png.*resize='pad' or 'squash'"):
        build_source(parse_call('ImageFolder("pets", size=64)')).load(Place(pets.parent))
    assert len(load(pets, 'resize="pad"').train.inputs) == 9


def test_a_class_of_which_nothing_can_be_read(pets):
    for path in (pets / "dog").iterdir():
        path.write_bytes(b"no picture")
    refused(pets, "class 'dog'", more='on_error="skip"')
    for path in (pets / "cat").iterdir():
        path.write_bytes(b"no picture")
    refused(pets, "none of the 8", more='on_error="skip"')


@pytest.mark.parametrize("name", ["-rf.jpg", "a b\n.jpg", "\u202egpj.jpg", "ü.jpg", "x" * 200 + ".jpg"])
def test_strange_names_are_names(pets, name):
    save(pets / "cat" / "new.jpg", 8).rename(pets / "cat" / name)
    assert len(load(pets).train.inputs) == 9


def test_a_name_that_is_no_text(pets):
    target = os.fsencode(pets / "cat") + b"/\xff\xfe.jpg"
    with open(target, "wb") as file:
        file.write(b"no picture")
    text = refused(pets, ".jpg")
    text.encode()
    for note in load(pets, 'on_error="skip"').notes:
        note.encode()


def test_damage_in_the_cache_while_a_run_reads_it(pets):
    """A file of the cache that somebody cut short ends the run in words, not the process."""
    from tests.engine.training import make_session

    spec = experiment("activation", f'data.source=ImageFolder("pets", {SIZE})', "data.memory=0.001 MiB", "epochs=1")
    session = make_session(spec, pets.parent)
    (path,) = Path(os.environ["LAYERLAB_CACHE"]).glob("photographs/*/pictures")
    os.truncate(path, 0)
    with pytest.raises(RunError, match="has become shorter"):
        list(session.run())
    _, events = train(spec, pets.parent)
    assert events
