"""What becomes of a run when the person logs out of this machine, as far as systemd has a say in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")
_TRUE = ("yes", "true", "1", "on", "y", "t")
_SCOPE = "systemd-run --user --scope layerlab"


@dataclass(frozen=True)
class LoginRules:
    """What logind does at a logout: `only` (of nobody where it is empty: of all) and `excluded` are users' names."""

    kills: bool = False
    only: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ("root",)

    def kill(self, user: str) -> bool:
        """Whether the processes of this user end with the session that they were begun in (logind.conf(5))."""
        return self.kills and user not in self.excluded and (not self.only or user in self.only)


def login_rules(folders: list[Path]) -> LoginRules:
    """What logind.conf and its drop-ins say; folders in order of precedence, the highest first.

    As in systemd: one main file counts, then drop-ins of all folders sorted by name, where the folder with the highest
    precedence has a file of the same name; the last assignment wins, and lists grow until an empty one begins anew.
    """
    main = next((folder / "logind.conf" for folder in folders if (folder / "logind.conf").is_file()), None)
    drop_ins: dict[str, Path] = {}
    for folder in reversed(folders):
        for path in sorted((folder / "logind.conf.d").glob("*.conf")):
            drop_ins[path.name] = path
    kills = False
    users: dict[str, tuple[str, ...]] = {"KillOnlyUsers": (), "KillExcludeUsers": ("root",)}
    for path in [*([main] if main else []), *(drop_ins[name] for name in sorted(drop_ins))]:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, setting = (part.strip() for part in line.partition("="))
            if key == "KillUserProcesses":
                kills = setting.lower() in _TRUE
            elif key in users:
                users[key] = (*users[key], *setting.split()) if setting else ()
    return LoginRules(kills, users["KillOnlyUsers"], users["KillExcludeUsers"])


def at_logout(rules: LoginRules | None, user: str, lingers: bool, within: str) -> tuple[bool, str, str]:
    """Whether a run survives a logout, that in words, and what to do where it does not.

    Args:
        rules: logind's; None where no systemd looks after logins here.
        lingers: whether the person's own systemd stays when they are logged out (`loginctl enable-linger`).
        within: the control group of this process, as /proc/self/cgroup has it.
    """
    closed = "a closed terminal ends the application and not the run"
    if rules is None:
        return True, f"no systemd here that ends processes at a logout; {closed}", ""
    if not rules.kill(user):
        why = f"KillUserProcesses spares {user}" if rules.kills else "KillUserProcesses is off"
        return True, f"runs survive a logout ({why}); {closed}", ""
    own = "/user@" in within
    if own and lingers:
        return True, "runs begun here survive a logout: they belong to your own systemd, which stays (linger)", ""
    if ".scope" not in within and ".service" in within and not own:
        return True, "KillUserProcesses is on, but what is begun here belongs to a service and not to a login", ""
    found = "a logout ends what was begun here, `train --detach` too (KillUserProcesses is on)"
    if own:
        return False, found, "once: loginctl enable-linger"
    once = "" if lingers else "once: loginctl enable-linger; then "
    return False, found, f"{once}start with: {_SCOPE}, or {_SCOPE} train FILE --detach"


def look_here() -> tuple[bool, str, str]:
    """`at_logout` for this person on this machine."""
    rules = login_rules([Path(folder) for folder in FOLDERS]) if Path("/run/systemd/system").is_dir() else None
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    try:
        within = Path("/proc/self/cgroup").read_text()
    except OSError:
        within = ""
    return at_logout(rules, user, rules is not None and _lingers(), within)


def _lingers() -> bool:
    """Whether the person's own systemd stays without a login, as `loginctl` tells."""
    program = shutil.which("loginctl")
    if program is None:
        return False
    try:
        told = subprocess.run(
            [program, "show-user", str(os.getuid()), "--property=Linger"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return told.stdout.strip() == "Linger=yes"
