"""With hostile text in every place where a text can stand, a terminal gets nothing but letters and known sequences."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.faults.hostile_text import PAYLOADS, SEEN, file_name, hostile_store, toml_text
from tests.faults.terminal_grammar import TerminalGrammar
from tests.faults.watched_terminal import WatchedTerminal
from tui.commands import COMMANDS, EVERYWHERE, PANELS, SCREENS

CHECKOUT = Path(__file__).parents[2]
# Escape as kitty's protocol has it: nobody has to wait whether more of a sequence follows.
ESCAPE, ENTER, DOWN = b"\x1b[27u", b"\r", b"\x1b[B"
KEYS = {
    "enter": ENTER, "escape": ESCAPE, "space": b" ", "tab": b"\t", "shift+tab": b"\x1b[Z", "full_stop": b".",
    "slash": b"/", "plus": b"+", "minus": b"-", "asterisk": b"*", "exclamation_mark": b"!", "question_mark": b"?",
    "equals_sign": b"=", "comma": b",", "less_than_sign": b"<", "greater_than_sign": b">", "delete": b"\x1b[3~",
    "left": b"\x1b[D", "right": b"\x1b[C", "up": b"\x1b[A", "down": DOWN, "f1": b"\x1bOP", "f2": b"\x1bOQ",
}  # fmt: skip
# They end the application, or put something on the clipboard, which other tests are for.
LEFT_OUT = {"leave"}

NAME = "Zexp" + PAYLOADS["click"] + PAYLOADS["bidi"]
LAYERS_TRAINED = '"Linear(8)", "shouting:Shouts()", "Linear(classes)"'
LAYERS = """
import sys
import time
from torch import nn

TEXT = {text!r}


class Shouts(nn.Module):
    \"\"\"Prints, warns, and fails with a text in its exception.\"\"\"

    def __init__(self, aloud=True):
        super().__init__()
        self.steps = 0
        self.aloud = aloud

    def forward(self, x):
        if x.device.type == "meta":
            return x
        self.steps += 1
        if self.aloud:
            print("Zpri" + TEXT)
            bytes = b"Zbyt\\x9b2J\\xff\\x1b]52;c;aGFja2Vk\\x07" + TEXT.encode("utf-8", "replace") + b"\\n"
            sys.stderr.buffer.write(bytes)
            sys.stderr.flush()
            time.sleep(0.05)  # long enough for the log to show it
        if self.steps > 30:
            raise ValueError("Zexc" + TEXT)
        return x


class Refuses(nn.Module):
    def __init__(self):
        super().__init__()
        raise RuntimeError("Zref" + TEXT)
"""


def key(name: str) -> bytes:
    """What a keyboard sends for a key by Textual's name."""
    if name.startswith("ctrl+"):
        return bytes([ord(name[5:].upper()) - 64])
    return KEYS.get(name) or name.encode()


def named(kind: str) -> str:
    """A payload as a column or a class can be called: halves of surrogate pairs cannot be written to a file, nor
    given as a text of an experiment, which is refused."""
    text = "".join(character for character in PAYLOADS[kind][:200] if character not in '\0"')
    return text.encode("utf-8", "replace").decode()


class Place:
    """A folder with a store, data, modules and files that are all named and filled to do harm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / file_name("Zcwd", "clipboard")
        self.folder.mkdir()
        self.store = hostile_store(self.folder / file_name("Zstore", "clipboard"))
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("LAYERLAB", "XDG", "NO_COLOR"))
        } | {
            "TERM": "xterm-256color", "COLORTERM": "truecolor", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8",
            "LAYERLAB_RUNS": str(self.store), "LAYERLAB_DATA": str(self.folder), "PYTHONPATH": str(CHECKOUT),
            "LAYERLAB_CONFIG": str(folder / "settings.toml"), "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }  # fmt: skip
        (folder / "settings.toml").write_text('allow = ["shouting"]\n')
        for kind in PAYLOADS:
            (self.folder / file_name(f"Zfil{kind}", kind, ".toml")).write_text(f"name = {toml_text(PAYLOADS[kind])}")

    def table(self, kind: str) -> str:
        """A table of data whose file, columns and classes are called so; gives its name."""
        text = named(kind)
        rows = [f'"a","b{text}","Ztar{text}"']
        rows += [f'"{at % 7}","{at % 5}","Zlab{text}{at % 3}"' for at in range(90)]
        name = file_name("Zdat", kind, ".csv")
        (self.folder / name).write_bytes("\n".join(rows).encode("utf-8", "replace"))
        return name

    def source(self, kind: str = "clipboard") -> str:
        """A call of that table, and the module that experiments of it use beside it."""
        (self.folder / "shouting.py").write_text(LAYERS.format(text=PAYLOADS[kind]))
        return f"CSV({self.table(kind)!a}, target={'Ztar' + named(kind)!a})"

    def experiment(self, name: str, name_text: str, layers: str, source: str = "Digits()", epochs: int = 2) -> Path:
        file = self.folder / name
        file.write_text(
            f"name = {toml_text(name_text)}\nepochs = {epochs}\noptimizer = 'SGD(lr=0.01)'\n"
            f"[data]\nsource = {toml_text(source)}\n[network]\nlayers = [{layers}]\n"
        )
        return file

    def program(self, *arguments: str, size: tuple[int, int] = (120, 40)) -> WatchedTerminal:
        command = [sys.executable, "-m", "tui.cli", *arguments]
        return WatchedTerminal(command, self.environment, self.folder, size)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def sound(terminal: WatchedTerminal, status: int = 0) -> TerminalGrammar:
    """The program ended as it should, and wrote nothing but what a terminal should get."""
    grammar = terminal.grammar
    assert not grammar.violations, grammar.violations
    assert terminal.status == status, grammar.text[-3000:]
    for told in ("Traceback (most recent", "ended with an error", "this is a bug"):
        assert told not in grammar.text, grammar.text[max(grammar.text.find(told) - 500, 0) :][:2000]
    return grammar


def leave(terminal: WatchedTerminal) -> int:
    """Quit, whatever that asks: the draft is not saved, the run is stopped."""
    for keys in (ESCAPE, ESCAPE, ESCAPE, b"q", b"w", b"s"):
        terminal.press(keys)
    return terminal.ended()


def keys_of(where: str) -> list[bytes]:
    """The first key of every command of a screen, of panels, and everywhere."""
    found = [command for command in COMMANDS if command.where in (where, PANELS, EVERYWHERE)]
    return [key(command.keys.split(",")[0]) for command in found if command.keys and command.id not in LEFT_OUT]


def go_round(terminal: WatchedTerminal, where: str, commands: Iterable[bytes], pasted: str = "") -> None:
    """Give commands on a screen, each of which may open something; paste a text there, and leave what was opened."""
    view = str(SCREENS.index(where) + 1).encode()
    for keys in commands:
        terminal.press(view)
        terminal.press(keys)
        if pasted:
            terminal.press(b"\x1b[200~" + pasted.encode("utf-8", "replace") + b"\x1b[201~")
        terminal.press(DOWN)
        # A text that was changed is asked about: `l` leaves it as it was. Elsewhere that opens a question.
        terminal.press(ESCAPE)
        if pasted:
            terminal.press(b"l")
            terminal.press(ESCAPE)
        terminal.press(ESCAPE)


def open_runs(terminal: WatchedTerminal, count: int) -> None:
    """Show one run after the other on Train, from the first of the list on."""
    terminal.press(b"3")
    terminal.press(b"\x1b[H")
    for _ in range(count):
        terminal.press(ENTER)
        terminal.press(b"3")
        terminal.press(DOWN)


DIALOGUES = {
    "runs": (b"?", b"e", b"t", b"C", b"x", b"/", b"A", b"S"),
    "train": (b"\x10", b"/", b"V", b"m", b"\t", b"\t"),
    "compare": (b"V", b"m"),
    "compose": (b"a", ENTER, b"o", b"t", b"T", b"\x13"),
}


def test_the_application_on_a_hostile_store_writes_only_what_it_knows(
    place: Place, figure: Callable[[str, int], None]
) -> None:
    file = place.experiment("draft.toml", NAME, LAYERS_TRAINED, place.source())
    terminal = place.program("open", str(file))
    try:
        terminal.until("1 Compose")
        terminal.press(b"3")
        terminal.until("Znam")
        open_runs(terminal, 5)
        for where, commands in DIALOGUES.items():
            go_round(terminal, where, commands)
        # The script has the labels in it, and is written in a thread.
        terminal.press(b"1")
        terminal.press(b"T")
        terminal.until("Zlab")
        terminal.press(ESCAPE)
        assert leave(terminal) == 0
        grammar = sound(terminal)
        for kind, shown in SEEN.items():
            # As far as the list of runs has room for the beginning of a name.
            assert f"Znam{shown[:6]}" in grammar.text, kind
        for mark in ("Zfol", "Zraw", "Znot", "Ztag", "Zexp", "Zrea", "Zdat", "Zlab", "Zcwd"):
            assert mark in grammar.text, mark
        assert not grammar.copied
        figure("bytes read from the application's terminal", grammar.bytes)
    finally:
        terminal.close()


@pytest.mark.soak
def test_what_a_layer_prints_and_raises_reaches_the_terminal_as_letters(
    place: Place, figure: Callable[[str, int], None]
) -> None:
    file = place.experiment("draft.toml", NAME, LAYERS_TRAINED, place.source(), epochs=50)
    terminal = place.program("open", str(file))
    try:
        terminal.until("1 Compose")
        terminal.press(b"\x12")  # ctrl+r
        terminal.until("Zpri")
        terminal.until("Zexc")
        for _ in range(4):
            # The log is one of the panels; there e goes from all it has to warnings, to messages, to prints.
            for keys in (b"\t", b"e", b"e", b"e", b"\x1b[H"):
                terminal.press(keys)
        go_round(terminal, "train", (b"V", b"?"))
        assert leave(terminal) == 0
        grammar = sound(terminal)
        for mark in ("Zexc␛]52", "Zpri", "Zbyt"):
            assert mark in grammar.text, mark
        figure("bytes read from the application's terminal", grammar.bytes)
    finally:
        terminal.close()


SHELL = """
import json, os, sys, time
from tui.cli.root import run
with open(sys.argv[1]) as file:
    calls = json.load(file)
for arguments in calls:
    print("status", run([os.fsdecode(os.fsencode(argument)) for argument in arguments]))
"""


def shell_calls(place: Place, kinds: Iterable[str]) -> list[list[str]]:
    """Every command of the shell, on hostile runs and with hostile words."""
    file = str(place.experiment("draft.toml", NAME, LAYERS_TRAINED, place.source()))
    refused = str(place.experiment("refused.toml", NAME, '"shouting:Refuses()", "Linear(classes)"'))
    calls = [["runs"], ["delete", "nothing"], ["restore"], ["runs", "--sort", "name", "-r"]]
    calls += [["check", file, "--allow", "shouting"], ["check", file], ["check", refused, "--allow", "shouting"]]
    # In this process what a layer prints is its own affair, as in any script.
    silent = str(place.experiment("silent.toml", NAME, LAYERS_TRAINED.replace("()", "(False)"), place.source()))
    calls += [["train", silent, "--allow", "shouting", "--set", "epochs=50"]]
    if len(set(kinds)) > 1:
        calls += [["doctor"], ["train", file, "--allow", "shouting", "--set", "epochs=50", "--launcher", "process"]]
    names = sorted(path.name for path in place.store.iterdir())
    for number, kind in enumerate(PAYLOADS):
        if kind not in kinds:
            continue
        word = "\udc9b\udcff" if kind == "surrogates" else PAYLOADS[kind].replace("\0", "")[:300]
        run = f"202601{number + 1:02d}T000000Z-{kind}-aaaa"
        calls += [
            ["show", run], ["note", run], ["watch", run], ["compare", run, names[0]], ["check", f"Z{word}"],
            ["compare", "--markdown", run, names[0]], ["show", file_name("Zfol", kind)], ["runs", word],
            ["runs", f"val/Zmev{word}>0.1"], ["runs", f"tag:{word}"], ["runs", "--sort", word], ["show", word],
            ["check", file_name(f"Zfil{kind}", kind, ".toml")], [word], ["train", word], ["note", run],
            ["note", run, "--text", f"Zwri{word}", "--name", f"Zwrn{word}"[:200], "--tag", word[:50]],
            ["control", run, word], ["control", run, "set_lr", word], ["stop", word], ["resume", word],
            ["catalogue", word], ["catalogue", "layers", word], ["new", word], ["runs", "--runs", f"no{word}"],
            ["open", word], [f"--{word}"], ["delete", word], ["restore", word], ["show", run, "--json"],
            ["check", file, "--set", f"name={word}"], ["check", file, "--set", f"network.layers.0={word}"],
            ["check", file, "--set", f"{word}=1"], ["check", file, "--set", f"data.source=CSV({word!a}, target='t')"],
            ["delete", run], ["restore"], ["restore", run],
        ]  # fmt: skip
    return calls


def hostile_shell(place: Place, kinds: Iterable[str], figure: Callable[[str, int], None]) -> None:
    calls = shell_calls(place, kinds)
    (place.folder / "calls.json").write_text(json.dumps(calls))
    terminal = WatchedTerminal([sys.executable, "-c", SHELL, "calls.json"], place.environment, place.folder)
    try:
        terminal.ended(280)
        grammar = sound(terminal)
        assert grammar.text.count("\nstatus ") == len(calls)
        for mark in ("Znam", "Zrsn", "Zcal", "Zmet", "Znot", "Ztag", "Zsrc", "Zref", "Zexc", "Zhos", "Zwri", "Zraw"):
            assert mark in grammar.text, mark
        figure("commands of the shell given", len(calls))
        figure("bytes read from the shell's terminal", grammar.bytes)
    finally:
        terminal.close()


def test_every_command_of_the_shell_writes_only_what_it_knows(place: Place, figure: Callable[[str, int], None]) -> None:
    hostile_shell(place, ["clipboard"], figure)


@pytest.mark.soak
def test_every_command_of_the_shell_with_every_payload(place: Place, figure: Callable[[str, int], None]) -> None:
    hostile_shell(place, PAYLOADS, figure)


@pytest.mark.soak
@pytest.mark.parametrize(("number", "kind"), enumerate(PAYLOADS), ids=list(PAYLOADS))
def test_every_key_of_every_screen_with_a_payload_pasted(
    place: Place, number: int, kind: str, figure: Callable[[str, int], None]
) -> None:
    """In a wide terminal with colours and in a small one without, in turn."""
    size, colours = (((120, 40), {}), ((80, 24), {"NO_COLOR": "1"}))[number % 2]
    place.environment |= colours
    file = place.experiment("draft.toml", NAME, LAYERS_TRAINED, place.source(kind))
    terminal = place.program("open", str(file), size=size)
    pasted = "".join(character for character in PAYLOADS[kind] if character not in "\x1b\0")[:2_000]
    try:
        terminal.until("Compose")
        terminal.press(b"3")
        terminal.until("Znam")
        open_runs(terminal, 2 * len(PAYLOADS))
        count = 0
        for where in ("runs", "train", "compare", "compose"):
            go_round(terminal, where, keys_of(where))
            go_round(terminal, where, keys_of(where), pasted)
            count += 2 * len(keys_of(where))
        assert leave(terminal) == 0
        grammar = sound(terminal)
        # Only where a key for that was pressed.
        assert b"hacked" not in b"".join(grammar.copied)
        figure("keys pressed on hostile screens", count)
        figure("bytes read from the application's terminal", grammar.bytes)
    finally:
        terminal.close()
