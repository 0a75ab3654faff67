"""What `layerlab doctor` says of a logout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui import doctor
from tui.logout import LoginRules, at_logout, login_rules, look_here

SESSION = "0::/user.slice/user-1000.slice/session-3.scope\n"
OWN = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u12.scope\n"
SERVICE = "0::/system.slice/cron.service\n"
ON = LoginRules(kills=True)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_systemd_drop_ins_override_the_main_file(tmp_path: Path) -> None:
    etc, usr = tmp_path / "etc", tmp_path / "usr"
    folders = [etc, usr]
    assert not login_rules(folders).kills
    write(usr / "logind.conf", "[Login]\nKillUserProcesses=yes\n")
    assert login_rules(folders).kills
    write(etc / "logind.conf", "[Login]\n#KillUserProcesses=yes\n")
    assert not login_rules(folders).kills, "the main file with precedence is the only one that counts"
    write(usr / "logind.conf.d" / "50-a.conf", "[Login]\nKillUserProcesses = yes\n")
    assert login_rules(folders).kills
    write(etc / "logind.conf.d" / "50-a.conf", "[Login]\nKillUserProcesses=no\n")
    assert not login_rules(folders).kills, "a drop-in of the same name hides the other"
    write(usr / "logind.conf.d" / "90-b.conf", "KillUserProcesses=1\n")
    assert login_rules(folders).kills, "the last name wins"


def test_users_are_spared_as_logind_spares_them(tmp_path: Path) -> None:
    write(tmp_path / "logind.conf", "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=ann ben\n")
    rules = login_rules([tmp_path])
    assert [rules.kill(user) for user in ("ann", "ben", "cho", "root")] == [False, False, True, False]
    write(tmp_path / "logind.conf.d" / "1.conf", "KillExcludeUsers=\nKillOnlyUsers=cho root\n")
    rules = login_rules([tmp_path])
    assert [rules.kill(user) for user in ("ann", "cho", "root")] == [False, True, True]


@pytest.mark.parametrize(
    ("rules", "lingers", "within", "survives", "word", "advice"),
    [
        (None, False, "", True, "no systemd", ""),
        (LoginRules(), False, SESSION, True, "is off", ""),
        (LoginRules(True, (), ("ann",)), False, SESSION, True, "spares ann", ""),
        (ON, False, SESSION, False, "--detach", "once: loginctl enable-linger; then start with: systemd-run"),
        (ON, True, SESSION, False, "ends", "start with: systemd-run --user --scope layerlab"),
        (ON, True, OWN, True, "survive", ""),
        (ON, False, OWN, False, "ends", "once: loginctl enable-linger"),
        (ON, False, SERVICE, True, "service", ""),
    ],
)
def test_what_a_logout_does(
    rules: LoginRules | None, lingers: bool, within: str, survives: bool, word: str, advice: str
) -> None:
    lives, found, told = at_logout(rules, "ann", lingers, within)
    assert lives is survives
    assert word in found
    assert told.startswith(advice)
    assert bool(told) is not survives


def test_doctor_says_it_of_this_machine() -> None:
    [finding] = doctor.logout()
    assert (finding.found, finding.advice) == look_here()[1:]
