"""What set-up installs and tells: pure texts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from servers.services import installing

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
FAMILIES = [
    (DEBIAN, "debian", "apt-get install -y -q --no-install-recommends borgbackup"),
    ("ID=ubuntu\nID_LIKE=debian\n", "debian", "borgbackup"),
    ('ID="linuxmint"\nID_LIKE="ubuntu debian"\n', "debian", "borgbackup"),
    ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "rhel", "dnf install -y borgbackup"),
    ("ID=fedora\n", "fedora", "dnf install -y borgbackup"),
    ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "suse", "zypper --non-interactive install borgbackup"),
    ("ID=alpine\n", "alpine", "apk add borgbackup"),
    ("ID=arch\n", "arch", "pacman -S --noconfirm --needed borg"),
    ("ID=haiku\n", "", "# borgbackup"),
    ("*** Welcome ***\nID=debian\n", "debian", "borgbackup"),
    ("", "", "# borgbackup"),
]


@pytest.mark.parametrize(("release", "family", "command"), FAMILIES)
def test_the_package_manager_of_a_distribution(release: str, family: str, command: str) -> None:
    assert installing.family_of(release) == family
    assert command in installing.package_remedy(family, "borgbackup")
    for argv in installing.install_commands(family, "borgbackup"):
        assert all(isinstance(word, str) for word in argv)


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("1.2.4", True),
        ("1.4.0", True),
        ("1.4.1b2", True),
        ("1.1.17", False),
        ("2.0.0b14", False),
        ("", False),
        (None, False),
    ],
)
def test_versions_of_borg(version: str | None, good: bool) -> None:
    assert installing.borg_is_supported(version) is good


@pytest.mark.parametrize("user", ["phpborg", "backup", "_b-1"])
def test_the_sudo_rule_is_for_one_account_and_one_command(user: str, tmp_path: Path) -> None:
    text = installing.sudoers_text(user)

    assert text.rstrip().splitlines()[-1].startswith(f"{user} ALL = (root) NOPASSWD:")
    assert text.count('/usr/local/lib/phpborg/phpborg-remote ""') == 1
    file = tmp_path / "rule"
    file.write_text(text)
    file.chmod(0o440)
    checked = subprocess.run(["visudo", "-c", "-f", str(file)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_commands_for_an_administrator_are_plain_shell(tmp_path: Path) -> None:
    script = f"{installing.helper_remedy('backup', b'program')}\n{installing.sudoers_remedy('backup')}\n"
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    assert "~backup/phpborg-remote.new" in script
