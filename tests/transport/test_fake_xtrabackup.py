"""A fake xtrabackup, which cannot run here: how it is called, what it says and does, and who interferes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from servers.remote import children, places, tree, wire
from servers.remote.snapshots import mariabackup, tools
from tests.transport.test_mariabackup import here, server, volume

__all__ = ["here", "server"]
pytestmark = pytest.mark.real


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """`fake(script)`: an xtrabackup that is this script; what it was called with is in the file `said`."""

    def make(script: str) -> Path:
        program = tmp_path / "xtrabackup"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/said\n{script}\n')
        program.chmod(0o755)
        real = children.find
        monkeypatch.setattr(children, "find", lambda name: str(program) if name == "xtrabackup" else real(name))
        return tmp_path / "said"

    return make


@pytest.fixture
def private(token, server) -> Iterator[tools.Place]:
    """The private directory of a copy; both are gone at the end."""
    place = tools.Place(token)
    Path(places.RUN).mkdir(mode=0o711, exist_ok=True)
    Path(place.mountpoint).mkdir(mode=0o700, parents=True)
    yield place
    tools.unmount(place.mountpoint)
    mariabackup.remove(place, mariabackup.volume(volume(server, flavour="mysql"), {}))
    place.forget()


_COPIES = 'for word; do case "$word" in --target-dir=*) mkdir -p "${word#*=}"; touch "${word#*=}/ibdata1";; esac; done'


def test_a_fake_xtrabackup_is_called_without_what_it_does_not_know(server, fake, private):
    said = fake(f"{_COPIES}; echo 'completed OK!'")
    asked = mariabackup.volume(volume(server, flavour="mysql", action="make"), {})
    made = mariabackup.make(private, asked, {}, None, wire.Control(60))
    data = f"{private.top}/data"
    assert said.read_text().splitlines() == [
        f"--no-defaults --user=root --socket={server.socket} --backup --target-dir={data} --datadir={server.data}",
        f"--prepare --target-dir={data}",
    ]
    assert (made["origins"], mariabackup.state(private, asked)["valid"]) == ([str(server.data)], True)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'completed OK!'; exit 1", "xtrabackup --backup ended with exit 1"),
        ("echo 'it went on'", "xtrabackup --backup ended with exit 0: it went on"),
        (f"{_COPIES}; [ $1 = --prepare ] || echo 'completed OK!'", "--prepare ended with exit 0: it said nothing"),
        ("kill -9 $$", "xtrabackup --backup ended with signal 9"),
    ],
)  # fmt: skip
def test_a_fake_xtrabackup_that_does_not_end_well_makes_no_copy(server, fake, private, script, words):
    fake(script)
    asked = mariabackup.volume(volume(server, flavour="mysql", action="make"), {})
    with pytest.raises(wire.Refused, match=words):
        mariabackup.make(private, asked, {}, None, wire.Control(60))
    assert mariabackup.state(private, asked)["valid"] is False


@pytest.mark.parametrize("tool", ["--backup", "--prepare"])
def test_the_owner_of_the_directory_above_cannot_exchange_the_copy(server, fake, private, tmp_path, tool):
    """It is the server's account's now and then: root would write to, and give away, what a link leads to."""
    copy, victim = server.data.parent / f".{private.name}", tmp_path / "victim"
    (victim / "data").mkdir(parents=True)
    (victim / "data/precious").touch()
    there = f'case "$*" in *{tool}*) mv "{copy}" "{copy}.moved"; ln -s "{victim}" "{copy}";; esac'
    fake(f"{there}; {_COPIES}; echo 'completed OK!'")
    asked = mariabackup.volume(volume(server, flavour="mysql", action="make"), {})
    try:
        with suppress(wire.Refused):
            mariabackup.make(private, asked, {}, None, wire.Control(60))
        assert [path.name for path in victim.rglob("*")] == ["data", "precious"]
        assert {path.stat().st_uid for path in [victim, *victim.rglob("*")]} == {0}
        assert Path(private.mountpoint, "ibdata1").exists()
        assert not tree.is_mounted(private.top.encode())
        with pytest.raises(wire.Refused, match="is not a directory of ours"):
            mariabackup.remove(private, asked)
        assert (victim / "data/precious").exists()
    finally:
        copy.unlink()
        Path(f"{copy}.moved").rename(copy)


def test_a_missing_program_is_named_with_its_package(server, private):
    asked = mariabackup.volume(volume(server, flavour="mysql", action="make"), {})
    with pytest.raises(wire.Refused, match="xtrabackup is not installed: install percona-xtrabackup"):
        mariabackup.make(private, asked, {}, None, wire.Control(60))
