"""What set-up installs, and the commands for an administrator who does it by hand. Pure."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

from django.conf import settings

from servers.services import reach

SUDOERS_PATH = "/etc/sudoers.d/phpborg-server"
SENT_NAME = "phpborg-remote.new"  # in the account's home, until an administrator has put it in its place
OLDEST_PYTHON = (3, 6)
_BORG = re.compile(r"1\.(2|4)\.\d+\S*")

Argv = tuple[str, ...]

# Family (ID or ID_LIKE of os-release) → how its package manager installs without a question.
_MANAGERS: dict[str, tuple[Argv, ...]] = {
    "debian": (
        ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "update", "-q"),
        ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", "--no-install-recommends"),
    ),
    "fedora": (("dnf", "install", "-y"),),
    "rhel": (("dnf", "install", "-y"),),
    "suse": (("zypper", "--non-interactive", "install"),),
    "alpine": (("apk", "add"),),
    "arch": (("pacman", "-S", "--noconfirm", "--needed"),),
}
_FAMILY_OF = {"ubuntu": "debian", "opensuse": "suse", "sles": "suse", "centos": "rhel", "rocky": "rhel"}
_PACKAGE_OF = {("arch", "borgbackup"): "borg", ("arch", "python3"): "python"}


def family_of(os_release: str) -> str:
    """The family of distributions that the text of /etc/os-release names, or ""."""
    values = dict(re.findall(r"^(ID|ID_LIKE)=[\"']?([^\"'\n]*)", os_release, re.MULTILINE))
    for word in f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".split():
        name = _FAMILY_OF.get(word, word)
        if name in _MANAGERS:
            return name
        if name.startswith("opensuse"):
            return "suse"
    return ""


def install_commands(family: str, package: str) -> tuple[Argv, ...]:
    """The commands that install a package, in order; none for a family that we do not know."""
    commands = _MANAGERS.get(family, ())
    name = _PACKAGE_OF.get((family, package), package)
    return tuple((*argv, name) if argv is commands[-1] else argv for argv in commands)


def package_remedy(family: str, package: str) -> str:
    """The same for a person: one line to run as root."""
    words = [shlex.join(argv[2:] if argv[0] == "env" else argv) for argv in install_commands(family, package)]
    return " && ".join(words) if words else f"# {package}"


def borg_is_supported(version: str | None) -> bool:
    """Borg 1.2 and 1.4."""
    return bool(_BORG.fullmatch(version or ""))


def sudoers_text(user: str) -> str:
    """The sudo rule for this account: sudoers/phpborg-server with its name."""
    text = (Path(settings.BASE_DIR) / "sudoers" / "phpborg-server").read_text()
    text = text.replace("/usr/local/lib/phpborg/phpborg-remote", reach.HELPER_PATH)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rule, changed = re.subn(r"^phpborg ", f"{user} ", lines[-1])
    if not changed:
        raise ValueError("the last line of sudoers/phpborg-server is not the rule")
    return "\n".join(["# Installed by phpBorg: one command, no argument.", *lines[:-1], rule, ""])


def helper_remedy(user: str, helper: bytes, *, sent: str = "") -> str:
    """Commands for root: put the program, which was sent to the account's home, in its place."""
    sent = sent or f"~{user}/{SENT_NAME}"
    directory, _, name = reach.HELPER_PATH.rpartition("/")
    new = f"{directory}/.{name}.new"
    digest = hashlib.sha256(helper).hexdigest()
    # The copy that root owns is the one that is proven: the account could change its own.
    return "\n".join(
        [
            f"install -d -o root -g root -m 0755 {directory}",
            f"install -o root -g root -m 0755 {sent} {new}",
            f"echo '{digest}  {new}' | sha256sum -c - && mv -fT {new} {reach.HELPER_PATH}",
        ]
    )


def sudoers_remedy(user: str) -> str:
    """Commands for root: the sudo rule, checked before it counts."""
    new = f"{SUDOERS_PATH}.new"  # sudo skips names with a dot
    return "\n".join(
        [
            f"cat > {new} <<'END'",
            sudoers_text(user).rstrip("\n"),
            "END",
            f"chmod 0440 {new} && visudo -c -f {new} && mv -fT {new} {SUDOERS_PATH}",
        ]
    )
