"""What a tool prints becomes a file of an archive, whole or not at all: real borg, tools of every behaviour."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from servers.remote import children, memory, streams, wire
from servers.remote.streams import Feeder, Pipes, Producer, Stream
from tests.transport.conftest import PASSPHRASE

pytestmark = pytest.mark.real


class Backup:
    """A run of `borg create` over pipes, as the verb does it."""

    def __init__(self, repository: Path, token: str) -> None:
        self.repository, self.token = repository, token
        self.control = wire.Control(60)
        self.env = {
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_BASE_DIR": str(repository.parent / "borg-base"),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        self.failed: streams.Failed | None = None
        self.done: list[dict] = []
        self.code: int | None = None

    def run(self, *made: Stream, options: tuple[str, ...] = ()) -> Backup:
        with Pipes(self.token, list(made)) as pipes:
            names = [os.fsdecode(stream.name) for stream in made]
            words = ["create", "--read-special", *options, "--", f"{self.repository}::a", *names]
            folder = os.open(pipes.path, os.O_RDONLY | os.O_DIRECTORY)
            tool = children.Tool(
                [children.find("borg"), *words], children.environment(self.env), directory=folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            os.close(folder)
            feeder = Feeder(pipes, list(made), tool, self.control)
            feeder.start()
            self.code, _ = tool.wait(self.control)
            feeder.finish()
        self.failed, self.done = feeder.failed, feeder.done
        return self

    def borg(self, *words: str) -> bytes:
        env = {**os.environ, **self.env}
        return subprocess.run(["borg", *words], env=env, check=True, capture_output=True).stdout

    def archives(self) -> str:
        return self.borg("list", "--short", str(self.repository)).decode()

    def content(self, name: str) -> bytes:
        return self.borg("extract", "--stdout", f"{self.repository}::a", f"pp:{name}")


@pytest.fixture
def run(repository: Path, token: str):
    made = Backup(repository, token)
    yield made
    assert not Path(streams.directory(token)).exists()


def shell(name: str, script: str, *, trailer: bytes = b"") -> Stream:
    return Stream(os.fsencode(name), Producer(["/bin/sh", "-c", script], trailer=trailer, what=name))


def test_streams_become_files_in_their_order_and_with_their_names(run):
    names = ["db/one.sql", "db/a b 'c' $d.sql", "db/-x", "db/é\n", "second/two.sql"]
    run.run(*(shell(name, f"printf '%s' {len(name)}") for name in names))
    assert (run.code, run.failed) == (0, None)
    assert [row["bytes"] for row in run.done] == [len(str(len(name))) for name in names]
    assert run.content("db/one.sql") == b"10"
    listed = run.borg("list", "--format", "{mode} {path}{NUL}", f"{run.repository}::a").split(b"\0")[:-1]
    assert listed == [b"-rw------- " + os.fsencode(name) for name in names]  # files, not pipes


def test_a_large_stream_is_whole(run):
    size = 200_000_000
    run.run(shell("big", f"head -c {size} /dev/zero"), options=("--compression", "lz4"))
    assert (run.code, run.done[0]["bytes"]) == (0, size)
    listed = run.borg("list", "--format", "{size}", f"{run.repository}::a")
    assert int(listed) == size


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo half; echo 'no such database' >&2; exit 1", "exit 1: no such database"),
        ("echo half; kill -9 $$", "signal 9"),
        ("echo half", "has no end"),
        ("exit 0", "has no end"),
    ],
)
def test_a_stream_that_is_not_whole_is_no_archive(run, script, reason):
    run.run(shell("good", "echo whole; echo END", trailer=b"END"), shell("bad", script, trailer=b"END"))
    assert reason in run.failed.reason
    assert run.failed.stream.name == b"bad"
    assert run.code not in (0, 1)
    assert run.archives() == ""


def test_a_tool_that_is_not_there_is_no_archive(run):
    run.run(Stream(b"x", Producer(["/no/such/tool"])))
    assert "No such file" in run.failed.reason
    assert run.archives() == ""


def test_an_account_that_is_not_there_is_no_archive(run):
    run.run(Stream(b"x", Producer(["/bin/true"], user="no-such-account")))
    assert run.failed.reason == "there is no account no-such-account"
    assert run.archives() == ""


def test_the_producer_is_another_account(run):
    run.run(Stream(b"who", Producer(["/usr/bin/id", "-un"], user="nobody")))
    assert run.content("who") == b"nobody\n"


def test_whatever_breaks_in_the_feeder_is_no_archive(run, monkeypatch):
    """A name that the system cannot take, for one: borg must not wait for ever."""
    monkeypatch.setattr(children, "start", lambda *_, **__: 1 // 0)
    run.run(shell("x", "true"))
    assert run.failed.reason == "ZeroDivisionError: integer division or modulo by zero"
    assert run.archives() == ""


def function(name: str, work, **more) -> Stream:
    return Stream(os.fsencode(name), Producer(["ours"], what=name, work=work, **more))


def test_a_function_of_ours_is_a_stream(run, place):
    """In a process of its own, as another account, with no descriptor of ours but what it is given."""
    (place / "given").write_bytes(b"held")
    given = os.open(place / "given", os.O_RDONLY)

    def work(sink: int) -> None:
        listed = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        os.write(sink, f"{os.getuid()} {os.getppid()} {os.read(given, 9).decode()} {listed}".encode())

    (place / "given").chmod(0o600)
    run.run(function("f", work, user="nobody", fds=(given,)))
    # The last one is that of the listing itself.
    open_ones = sorted({0, 1, 2, given})
    listed = [*open_ones, min(set(range(given + 2)) - set(open_ones))]
    assert run.content("f").decode() == f"65534 {os.getpid()} held {sorted(listed)}"
    os.close(given)


def test_a_function_that_raises_is_no_archive(run):
    def work(sink: int) -> None:
        os.write(sink, b"half")
        raise wire.Refused("stream", "no more")

    run.run(function("f", work))
    assert run.failed.reason == "ours ended with exit 1: no more"
    assert run.archives() == ""


def test_the_account_of_a_function_cannot_look_into_it(run):
    """It was forked from a process that knows the passphrase."""

    def work(sink: int) -> None:
        look = ["cat", f"/proc/{os.getpid()}/environ"]
        os.write(sink, subprocess.run(look, capture_output=True, check=False).stderr)

    run.run(function("f", work, user="nobody"))
    assert b"Permission denied" in run.content("f")


def test_a_stop_ends_a_function(run, place):
    def work(sink: int) -> None:
        (place / "pid").write_text(str(os.getpid()))
        os.write(sink, b"x")
        time.sleep(1000)

    threading.Timer(2, run.control.stop).start()
    run.run(function("f", work))
    assert not Path(f"/proc/{(place / 'pid').read_text()}").exists()
    assert run.archives() == ""


def test_a_password_reaches_a_tool_by_a_descriptor(run):
    """Equal ones are one descriptor; the tool's account owns it, and reads it from its beginning each time."""
    held = memory.secret(b"pass word", "nobody")
    assert held == memory.secret(b"pass word", "nobody")
    assert held != memory.secret(b"pass word", None)
    script = f"stat -L -c '%U %a %s' {memory.path_of(held)}; cat {memory.path_of(held)}"
    made = [Stream(name, Producer(["/bin/sh", "-c", script], user="nobody", fds=(held,))) for name in (b"one", b"two")]
    run.run(*made)
    assert run.content("one") == run.content("two") == b"nobody 600 9\npass word"


def test_when_borg_ends_by_itself_its_own_end_counts(run):
    run.run(shell("endless", "cat /dev/zero"), options=("--no-such-option",))
    assert (run.code, run.failed.reason) == (2, streams.NOT_READ)


def test_what_borg_leaves_out_is_told(run):
    """A pattern that matches a stream: borg ends well and never reads it."""
    run.run(shell("kept", "echo 1"), shell("left", "echo 2"), options=("--exclude", "left"))
    assert run.code == 0
    assert (run.failed.stream.name, run.failed.reason) == (b"left", streams.NOT_READ)


def test_a_producer_starts_when_it_is_read(run, place):
    before = place / "before"
    run.run(shell("one", f"sleep 0.5; touch {before}"), shell("two", f"test -e {before} && echo there"))
    assert run.content("two") == b"there\n"


@pytest.mark.parametrize("script", ["while :; do echo x; sleep 0.01; done", "echo x; sleep 1000", "cat /dev/zero"])
def test_a_stop_ends_borg_and_the_producer(run, place, script):
    pid = place / "pid"
    threading.Timer(2, run.control.stop).start()
    started = time.monotonic()
    run.run(shell("endless", f"echo $$ > {pid}; {script}"))
    assert time.monotonic() - started < 30
    assert run.failed is not None
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
    assert run.archives() == ""


def test_pipes_of_a_run_that_was_killed_are_removed(token):
    made = Pipes(token, [shell("a/b/c", "true"), shell("d", "true")])
    assert stat.S_ISFIFO(os.lstat(f"{made.path}/a/b/c").st_mode)
    assert streams.remove(made.path)
    assert not streams.remove(made.path)


def test_other_things_in_the_directory_are_not_removed(token):
    made = Pipes(token, [shell("a", "true")])
    (Path(made.path) / "file").write_text("x")
    with pytest.raises(OSError, match="not empty"):
        streams.remove(made.path)
    (Path(made.path) / "file").unlink()
    streams.remove(made.path)
