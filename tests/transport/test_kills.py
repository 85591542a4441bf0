"""Whatever is killed or frozen in the middle: the other sides end, and nothing of ours stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from servers import errors
from servers.transport import host_for
from servers.transport.tunnel import clean_up, link
from tests.support.sshd import Sshd, descendants, local_target, processes_with, running, wait_until
from tests.transport.conftest import PASSPHRASE

pytestmark = [pytest.mark.real, pytest.mark.chaos]


@pytest.fixture
def server(lab, settings):
    settings.SSH_KEEPALIVE_SECONDS = 1
    with running(lab, "127.0.0.13") as made:
        yield made


@pytest.fixture
def hook():
    """Writes an executable hook; returns its name."""
    made: list[Path] = []

    def write(script: str) -> str:
        directory = Path("/etc/phpborg/hooks")
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        for place in (directory.parent, directory):
            place.chmod(0o755)
        path = directory / f"test-{os.getpid()}-{len(made)}"
        path.write_text(script)
        path.chmod(0o755)
        made.append(path)
        return path.name

    yield write
    for path in made:
        path.unlink()


class Running(threading.Thread):
    """A slow backup over the tunnel, in the background."""

    def __init__(self, target, repository: Path, source: Path, token: str) -> None:
        super().__init__(daemon=True)
        self.host, self.repository, self.source, self.token = host_for(target), repository, source, token
        self.moving = threading.Event()
        self.error: Exception | None = None
        self.code: int | None = None

    def run(self) -> None:
        try:
            with link(self.host, str(self.repository), mode="tunnel", token=self.token) as way:
                argv = [
                    "create",
                    "--progress",
                    "--log-json",
                    "--upload-ratelimit=800",
                    way.location("one"),
                    str(self.source),
                ]
                result = self.host.run(
                    "borg",
                    {"argv": argv},
                    secrets={"passphrase": PASSPHRASE},
                    link=way,
                    on_stderr=lambda line: self.moving.set() if b"archive_progress" in line else None,
                )
                self.code = result.exit.code
        except Exception as error:
            self.error = error


@pytest.fixture(params=["root", "sudo"])
def backup(request, server: Sshd, place, repository, token):
    source = place / "big"
    source.write_bytes(os.urandom(100 << 20))
    target = server.target() if request.param == "root" else server.sudo_target()
    thread = Running(target, repository, source, token)
    thread.start()
    assert thread.moving.wait(30)
    yield thread
    thread.join(60)


def ours(token: str, word: str) -> list[int]:
    """Processes of this test's backup whose command line has a word."""
    found = [pid for pid in processes_with(token) if pid in descendants(1)]
    return [pid for pid in found if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


def nothing_left(server: Sshd, repository: Path, token: str) -> None:
    wait_until(lambda: not server.children() or not processes_with(token), 30, "remote processes are left")
    wait_until(lambda: not processes_with(str(repository)), 30, "processes are left")
    wait_until(lambda: not (repository / "lock.exclusive").exists(), 30, "the lock is left")
    assert not [name for name in os.listdir("/run/phpborg") if token in name]
    assert not [name for name in os.listdir("/tmp") if token in name]


def test_the_ssh_client_is_killed(backup, server, repository, token):
    os.kill(ours(token, "ssh\0-F")[0], signal.SIGKILL)
    backup.join(60)
    assert isinstance(backup.error, errors.ConnectionLost)
    nothing_left(server, repository, token)


def test_the_helper_on_the_server_is_killed(backup, server, repository, token):
    helpers = [pid for pid in server.children() if b"phpborg-remote" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    with_sudo = [pid for pid in helpers if b"sudo" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(next(pid for pid in helpers if pid not in with_sudo), signal.SIGKILL)
    backup.join(60)
    assert isinstance(backup.error, errors.ConnectionLost)
    nothing_left(server, repository, token)


def test_borg_on_the_server_is_killed(backup, server, repository, token):
    os.kill(next(pid for pid in server.children() if b"borg\0create" in Path(f"/proc/{pid}/cmdline").read_bytes()), 9)
    backup.join(60)
    assert backup.error is None
    assert backup.code is None
    wait_until(lambda: not processes_with(str(repository)), 30)


def test_borg_serve_is_killed(backup, server, repository, token):
    serve = [pid for pid in processes_with(str(repository)) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(serve[0], signal.SIGKILL)
    backup.join(60)
    assert backup.error is None
    assert backup.code == 2


def test_a_frozen_sshd_ends_the_call_in_time_and_leaves_nothing(backup, server, repository, token):
    frozen = server.children()
    frozen = [pid for pid in frozen if Path(f"/proc/{pid}/comm").read_text().strip() == "sshd"]
    began = time.monotonic()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    backup.join(90)
    try:
        assert isinstance(backup.error, errors.TimedOut)
        # 1 s × 4 by ssh; then the listener's borg serve is given its time.
        assert time.monotonic() - began < 60
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not processes_with(str(repository)), 30)
    clean_up(backup.host, token)
    nothing_left(server, repository, token)


_CHILD = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ["PHPBORG_SSH_KEEPALIVE"] = "1"
from pathlib import Path
from servers.transport import host_for
from servers.transport.base import Target
from servers.transport.tunnel import link
target, repository, source, token, passphrase = eval(sys.stdin.read())
with link(host_for(target), repository, mode="tunnel", token=token) as way:
    argv = ["create", "--upload-ratelimit=800", "--progress", "--log-json", way.location("one"), source]
    host_for(target).run("borg", {"argv": argv}, secrets={"passphrase": passphrase}, link=way,
        on_stderr=lambda line: print("moving", flush=True) if b"archive_progress" in line else None)
"""


@pytest.mark.parametrize("way", ["root", "sudo", "local"])
def test_our_own_process_is_killed(way, lab, server, place, repository, token):
    source = place / "big"
    source.write_bytes(os.urandom(100 << 20))
    targets = {"root": server.target(), "sudo": server.sudo_target(), "local": local_target(lab)}
    env = {name: value for name, value in os.environ.items() if name not in ("PHPBORG_VAR", "PHPBORG_TEST_ROOT")}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    argv = [sys.executable, "-c", _CHILD]
    worker = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd="/")
    given = (targets[way], str(repository), str(source), token, PASSPHRASE)
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write(_expression(given))
    worker.stdin.close()
    assert worker.stdout.readline().strip() == b"moving"
    worker.kill()
    worker.wait()
    worker.stdout.close()
    wait_until(lambda: not processes_with(str(repository)), 60, "processes are left")
    wait_until(lambda: not [pid for pid in server.children() if token.encode() in _words(pid)], 30)
    clean_up(host_for(targets[way]), token)
    for directory in ("/run/phpborg", "/tmp"):
        assert not [name for name in os.listdir(directory) if token in name]


def _expression(given: tuple[object, ...]) -> bytes:
    target, *rest = given
    text = repr(target).replace("PosixPath", "Path")
    return f"({text}, {', '.join(map(repr, rest))})".encode()


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_both_streams_of_ten_mebibytes(host, hook):
    name = hook(
        "#!/bin/bash\ndd if=/dev/urandom bs=1024 count=10240 2>/dev/null &\n"
        "dd if=/dev/urandom bs=1024 count=10240 status=none >&2 &\nwait\n"
    )
    sizes = {"out": 0, "err": 0}

    def add(which: str):
        def line(data: bytes) -> None:
            sizes[which] += len(data) + 1

        return line

    began = time.monotonic()
    result = host.run("hook", {"name": name}, on_stdout=add("out"), on_stderr=add("err"), timeout=60)
    assert result.exit.code == 0
    assert time.monotonic() - began < 30
    # A last line without its end counts one too many; one held-back empty line one too few.
    assert abs(sizes["out"] - 10485760) <= 1
    assert abs(sizes["err"] - 10485760) <= 2
    assert len(host.run("hook", {"name": name}, timeout=60).exit.stdout) == 10485760


def test_a_hook_and_all_that_it_started_ends_with_us(host, hook, token):
    name = hook(f"#!/bin/bash\nexport MARK={token}\nsleep 300 & sleep 301 & wait\n")
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    result = host.run("hook", {"name": name, "env": {"PHPBORG_JOB": "x"}}, stop=stop)
    assert result.exit.stopped
    wait_until(lambda: not processes_with(token), 10)


def test_a_hook_has_its_own_time_limit(host, hook):
    began = time.monotonic()
    result = host.run("hook", {"name": hook("#!/bin/bash\nexec sleep 60\n"), "limit_seconds": 1})
    assert result.exit.signal == signal.SIGINT
    assert time.monotonic() - began < 15


def test_only_hooks_of_root_are_run(host, hook, lab):
    name = hook("#!/bin/bash\necho fine $PHPBORG_JOB $HOME_OF_US\n")
    assert host.run("hook", {"name": name, "env": {"PHPBORG_JOB": "j 1"}}).exit.stdout.strip() == b"fine j 1"
    assert name in host.call("hooks")["hooks"]
    path = Path("/etc/phpborg/hooks") / name
    path.chmod(0o775)
    with pytest.raises(errors.UnsafePath, match="others than root"):
        host.run("hook", {"name": name})
    path.chmod(0o755)
    subprocess.run(["chown", lab.account, str(path)], check=True)
    with pytest.raises(errors.UnsafePath, match="does not belong to root"):
        host.run("hook", {"name": name})
    path.unlink()
    path.symlink_to("/bin/sh")
    with pytest.raises(errors.UnsafePath, match="not a plain file"):
        host.run("hook", {"name": name})
    for bad in ("../../../bin/sh", "/bin/sh", "", "a b", "-x"):
        with pytest.raises(errors.RequestRefused):
            host.run("hook", {"name": bad})
    with pytest.raises(errors.RequestRefused):
        host.run("hook", {"name": name, "env": {"LD_PRELOAD": "/tmp/x.so"}})
    with pytest.raises(errors.RemotePathMissing):
        host.run("hook", {"name": "no-such-hook"})
