"""A real unprivileged account with our sudoers tries to become root, or to write where it must not."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.real
NONCE = "0123456789abcdef"


class Account:
    """Runs commands as the unprivileged account, with whatever environment it likes."""

    def __init__(self, lab) -> None:
        self.lab = lab
        self.helper = str(lab.helper)

    def run(
        self, *argv: str, request: dict[str, Any] | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        line = json.dumps({"v": 1, "nonce": NONCE, "keepalive": 15, **request}) + "\n" if request else ""
        with subprocess.Popen(
            argv, env={"PATH": "/usr/bin:/bin", **(env or {})}, user=self.lab.account, group=self.lab.account,
            extra_groups=[], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        ) as process:  # fmt: skip
            assert process.stdin
            assert process.stdout
            assert process.stderr
            with suppress(BrokenPipeError):
                process.stdin.write(line)
                process.stdin.flush()
            # The input stays open as ours does: its end would be a stop.
            if request:
                process.wait(30)
            with suppress(BrokenPipeError):
                process.stdin.close()
            return subprocess.CompletedProcess(argv, process.returncode, process.stdout.read(), process.stderr.read())

    def ask(self, verb: str, args: dict[str, Any], **more) -> subprocess.CompletedProcess[str]:
        """Ask the helper by sudo."""
        env = more.pop("env", None)
        return self.run("/usr/bin/sudo", "-n", self.helper, request={"verb": verb, "args": args, **more}, env=env)


@pytest.fixture
def account(lab) -> Account:
    return Account(lab)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The code of the refusal; fails when the request was carried out."""
    line = next((line for line in result.stderr.splitlines() if f"{NONCE} refused" in line), None)
    assert line, (result.stdout, result.stderr)
    assert f"{NONCE} exit - -" in result.stderr
    return str(json.loads(line.partition("refused ")[2])["code"])


@pytest.mark.parametrize("name", ["phpborg-server", "phpborg-backup-host"])
def test_visudo_accepts_our_files(name):
    assert subprocess.run(["visudo", "-c", "-q", "-f", str(ROOT / "sudoers" / name)], check=False).returncode == 0
    words = [line for line in (ROOT / "sudoers" / name).read_text().splitlines() if not line.startswith("#")]
    assert not [line for line in words if "*" in line or " SETENV" in line or "ALL = (ALL" in line]
    assert ["" for line in words if line.startswith("Cmnd_Alias") and line.endswith('phpborg-remote ""')]


def test_the_door_is_open_for_what_it_is_for(account):
    result = account.ask("hello", {})
    assert '"uid": 0' in result.stdout


@pytest.mark.parametrize("words", [["--relay", "/x"], ["-c", "id"], ["x"], [""]])
def test_no_argument_passes(account, words):
    result = account.run("/usr/bin/sudo", "-n", account.helper, *words)
    assert result.returncode != 0
    assert "sudo" in result.stderr or "not allowed" in result.stderr


def test_no_other_command_passes(account, place):
    link = place / "phpborg-remote"
    link.symlink_to(account.helper)
    copy = place / "copy"
    copy.write_bytes(Path(account.helper).read_bytes())
    copy.chmod(0o755)
    for command in ("/bin/sh", "/usr/bin/id", "/usr/bin/borg", str(copy), "/usr/bin/python3", f"{account.helper}/../x"):
        assert account.run("/usr/bin/sudo", "-n", command).returncode != 0, command
    assert account.run("/usr/bin/sudo", "-n", "-u", "nobody", account.helper).returncode != 0
    assert account.run("/usr/bin/sudo", "-n", "-s").returncode != 0
    # A link to the helper is at most the helper itself.
    assert account.run("/usr/bin/sudo", "-n", str(link), "x").returncode != 0


def test_the_account_cannot_change_the_helper(account):
    assert account.run("cp", "/bin/sh", account.helper).returncode != 0
    assert account.run("mv", account.helper, "/tmp/").returncode != 0


VARIABLES = ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "BORG_RSH", "LD_PRELOAD", "BORG_PASSCOMMAND"]


@pytest.mark.parametrize("name", [*VARIABLES, "BORG_BASE_DIR", "PATH", "HOME", "IFS", "BASH_ENV"])
def test_the_environment_has_no_say(account, place, name):
    place.chmod(0o777)
    for module in ("json", "os", "sitecustomize", "usercustomize", "borg"):
        (place / f"{module}.py").write_text(f"open({str(place / 'owned')!r}, 'w').close()\n")
    (place / "borg").write_text(f"#!/bin/sh\ntouch {place / 'owned'}\n")
    (place / "borg").chmod(0o755)
    result = account.ask("hello", {}, env={name: str(place)})
    assert not (place / "owned").exists()
    if name != "LD_PRELOAD":
        assert '"uid": 0' in result.stdout
        assert '"path": "/usr/bin/borg"' in result.stdout
    # sudo's own way to set a variable is closed too.
    assert (
        account.run("/usr/bin/sudo", "-n", f"{name}={place}", account.helper, request={"verb": "hello"}).returncode != 0
    )


def borg_request(*argv: str, link: dict[str, str] | None = None, **more) -> dict[str, Any]:
    return {"argv": list(argv), "link": link or {"mode": "local"}, **more}


@pytest.mark.parametrize(
    "args",
    [
        borg_request("create", "--rsh=touch /tmp/owned", "/srv/r::a", "/etc"),
        borg_request("create", "--remote-path=/tmp/x", "/srv/r::a", "/etc"),
        borg_request("create", "-o", "x", "/srv/r::a", "/etc"),
        borg_request("create", "--content-from-command", "/srv/r::a", "--", "sh"),
        borg_request("create", "ssh://evil/r::a", "/etc"),
        borg_request("create", "/srv/../etc/r::a", "/etc"),
        borg_request("create", "/srv/r::a::b", "/etc/../root", "x"),
        borg_request("create", "/srv/r::a/../b", "/etc"),
        borg_request("init", "-e", "none", "/srv/r"),
        borg_request("mount", "/srv/r::a", "/mnt"),
        borg_request("list", "/srv/r", env={"BORG_RSH": "sh"}),
        borg_request("list", "/srv/r", env={"LD_PRELOAD": "/tmp/x.so"}),
        borg_request("list", "/srv/r", env={"BORG_PASSCOMMAND": "touch /tmp/owned"}),
        borg_request("list", "/srv/r", nice="1; id"),
        borg_request("list", "/srv/r", ionice="idle; id"),
        borg_request("list", "ssh://phpborg/r", link={"mode": "socket", "path": "/run/docker.sock"}),
        borg_request("list", "ssh://phpborg/r", link={"mode": "socket", "path": "/run/phpborg/../x/link.sock"}),
        borg_request("list", "ssh://phpborg/r", link={"mode": "socket", "path": "/run/phpborg/a'$(id)'/link.sock"}),
        borg_request("list", "ssh://phpborg/r", link={"mode": "direct", "installation": "../../../tmp/x"}),
        borg_request("list", "ssh://phpborg/r", link={"mode": "shell"}),
        borg_request("extract", "/srv/r::a"),
        borg_request("extract", "/srv/r::a", staging={"target": "/etc", "token": "../../../etc"}),
        {"argv": "list", "link": {"mode": "local"}},
        {"argv": ["list", "/srv/r"]},
    ],
)
def test_borg_does_only_what_it_is_for(account, args):
    assert refused(account.ask("borg", args)) in ("invalid", "unsafe", "missing")
    assert not os.path.exists("/tmp/owned")


def test_a_socket_of_another_account_is_not_used(account, lab, token):
    directory = Path(f"/tmp/phpborg-{token}")
    directory.mkdir(mode=0o755)
    try:
        link = {"mode": "socket", "path": f"{directory}/link.sock"}
        assert refused(account.ask("borg", borg_request("list", "ssh://phpborg/r", link=link))) == "unsafe"
        directory.rmdir()
        directory.symlink_to("/run")
        assert refused(account.ask("borg", borg_request("list", "ssh://phpborg/r", link=link))) == "unsafe"
    finally:
        directory.unlink()


def test_staging_never_goes_through_a_link_of_the_account(account, place, token):
    place.chmod(0o777)
    account.run("ln", "-s", "/etc", str(place / "mine"))
    for target in (f"{place}/mine", f"{place}/mine/sudoers.d", f"{place}/mine/new/deeper"):
        for verb, more in (("stage", {}), ("place", {"conflict": "replace"}), ("unstage", {})):
            assert refused(account.ask(verb, {"target": target, "token": token, **more})) == "unsafe"
    assert refused(account.ask("stage", {"target": f"{place}/../../etc", "token": token})) == "unsafe"
    assert refused(account.ask("stage", {"target": "etc", "token": token})) == "invalid"
    assert refused(account.ask("stage", {"target": "/tmp", "token": "../x"})) == "invalid"


def test_a_staging_directory_of_the_account_is_not_placed_or_removed(account, place, token):
    place.chmod(0o777)
    staging = place / f".phpborg-restore-{token}"
    account.run("mkdir", "-m", "700", str(staging))
    account.run("ln", "-s", "/etc", str(staging / "x"))
    args = {"target": str(place), "token": token}
    assert refused(account.ask("place", {**args, "conflict": "replace"})) == "unsafe"
    assert refused(account.ask("unstage", args)) == "unsafe"
    account.run("rm", "-r", str(staging))
    account.run("ln", "-s", "/etc", str(staging))
    assert refused(account.ask("place", {**args, "conflict": "replace"})) == "unsafe"
    assert refused(account.ask("unstage", args)) == "unsafe"
    assert Path("/etc/passwd").exists()


def test_what_is_being_restored_cannot_be_read_or_changed_by_the_account(account, place, token):
    place.chmod(0o777)
    result = account.ask("stage", {"target": str(place), "token": token})
    staging = Path(json.loads(result.stdout.splitlines()[-1])["path"])
    assert account.run("ls", str(staging)).returncode != 0
    assert account.run("touch", str(staging / "x")).returncode != 0
    account.ask("unstage", {"target": str(place), "token": token})


@pytest.mark.parametrize("item", ["../../etc/passwd", "/etc/passwd", "a/../../b", ""])
def test_an_item_never_leaves_the_staging_directory(account, place, token, item):
    account.ask("stage", {"target": str(place), "token": token})
    args = {"target": str(place), "token": token, "conflict": "replace", "items": [item]}
    assert refused(account.ask("place", args)) in ("unsafe", "invalid")
    account.ask("unstage", {"target": str(place), "token": token})


def test_a_direct_key_is_not_written_elsewhere(account):
    for installation in ("../../x", "/etc", "a" * 40, "; id"):
        args = {"action": "make", "installation": installation, "host_keys": [], "address": "h", "user": "u"}
        assert refused(account.ask("direct_key", args)) == "invalid"
    good = {"action": "make", "installation": "0123-abcd", "host_keys": ["ssh-ed25519 " + "A" * 68], "user": "u"}
    for address in ("x\n  ProxyCommand touch /tmp/owned", "-oProxyCommand=id", "a b", ""):
        assert refused(account.ask("direct_key", {**good, "address": address})) == "invalid"
    assert refused(account.ask("direct_key", {**good, "address": "h", "user": "u\nProxyCommand id"})) == "invalid"
    bad = {**good, "address": "h", "host_keys": ["ssh-ed25519 " + "A" * 68 + "\n@cert-authority * x"]}
    assert refused(account.ask("direct_key", bad)) == "invalid"
    assert not Path("/etc/phpborg/direct/0123-abcd").exists()


def test_rubbish_is_answered_in_good_order(account):
    for line in ("", "\n", "null\n", "[]\n", '{"nonce": "x"}\n', '{"nonce": 5}\n', "\xff\n", '{"v":1' + "\n"):
        result = subprocess.run(
            ["/usr/bin/sudo", "-n", account.helper], input=line, capture_output=True, text=True, timeout=20,
            user=account.lab.account, group=account.lab.account, extra_groups=[], cwd="/",
        )  # fmt: skip
        assert result.returncode == 65, line
        assert "Traceback" not in result.stderr
    assert refused(account.run("/usr/bin/sudo", "-n", account.helper, request={"v": 99, "verb": "hello"})) == "outdated"
    assert refused(account.ask("borg", {"argv": ["list"], "link": []})) == "invalid"
    for verb in ("paths", "list_dir", "hook", "link_dir", "stage", "place", "unstage", "direct_key", "exclude_preview"):
        assert refused(account.ask(verb, {})) == "invalid", verb
