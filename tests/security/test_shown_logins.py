"""A login that was given for a database is shown to that database's own server, whoever else names its socket."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.probes import base, databases, postgresql
from servers.remote.probes.base import Look
from servers.remote.producers import postgresql as tools
from tests.support import postgresql as support

pytestmark = pytest.mark.real
SECRET = "shown-to-nobody:else\\"
LIAR = "nobody"
# Called `postgres`, standing in what looks like a data directory, whose pid file names the socket of another server.
_PRETENDS = "import time; time.sleep(120)"


class Watched(Look):
    """What a given login was shown to: the account of each tool, and all that it is told."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.shown: list[tuple[str | None, str]] = []

    def run(self, argv: Any, **more: Any) -> Any:
        held = [Path(f"/proc/self/fd/{one}").read_text() for one in more.get("fds", ())]
        self.shown.append((more.get("user"), json.dumps([list(argv), more.get("env"), held])))
        return super().run(argv, **more)


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[support.Cluster, int]]:
    """A real cluster that wants a password of `boss`, and the process of one who pretends to be it."""
    with tempfile.TemporaryDirectory(prefix="pb-liar-") as name, ExitStack() as stack:
        top = Path(name)
        top.chmod(0o755)
        cluster = stack.enter_context(support.running(top / "data", top / "run"))
        cluster.sql(f"CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{SECRET}'")
        hba = top / "data" / "pg_hba.conf"
        hba.write_text("local all boss scram-sha-256\n" + hba.read_text())
        cluster.sql("SELECT pg_reload_conf()")
        lies = top / "lies"
        lies.mkdir()
        (lies / "PG_VERSION").write_text("15\n")
        who = pwd.getpwnam(LIAR)
        words = ["postgres", "-c", _PRETENDS]
        child = subprocess.Popen(
            words, executable="/usr/bin/python3", user=who.pw_uid, group=who.pw_gid, extra_groups=[], cwd=lies
        )
        stack.callback(child.wait)
        stack.callback(child.kill)
        lines = [str(child.pid), str(lies), "1", str(cluster.port), str(cluster.sockets), "localhost"]
        (lies / "postmaster.pid").write_text("\n".join(lines) + "\n")
        yield cluster, child.pid


def given(cluster: support.Cluster, **more: Any) -> dict[str, Any]:
    """As the product hands it over for one server."""
    door = f"{cluster.sockets}/.s.PGSQL.{cluster.port}"
    return {"postgresql": {"user": "boss", "password": SECRET, "socket": door, **more}}


def by_pid(look: Look) -> dict[int, dict[str, Any]]:
    return {one["pid"]: one for one in postgresql.probe(look)["clusters"]}


@pytest.mark.parametrize("alone", [True, False])
def test_who_names_the_socket_of_the_real_server_is_not_shown_its_password(place, alone):
    cluster, liar = place
    look = Watched(given(cluster, alone=alone))
    found = by_pid(look)
    assert found[liar]["socket_directory"] == str(cluster.sockets), "the lie is believed so far"
    assert not found[liar]["login"]["works"] or found[liar]["login"]["method"] == "peer"
    heard = {user for user, words in look.shown if json.dumps(SECRET)[1:-1] in words or "shown-to-nobody" in words}
    assert LIAR not in heard
    assert heard <= {support.OWNER}


def test_the_real_server_is_asked_with_it_by_a_file_without_a_name(place):
    cluster, liar = place
    look = Watched(given(cluster, alone=True))
    (found,) = [one for pid, one in by_pid(look).items() if pid != liar and one["port"] == cluster.port]
    assert found["login"] == {"works": True, "method": "given", "user": "boss", "file": None, "problem": None}
    assert [user for user, words in look.shown if "shown-to-nobody" in words]
    told = [json.loads(words) for _, words in look.shown]
    assert not [words for argv, env, _ in told for words in (argv, env) if "shown-to-nobody" in json.dumps(words)]


def test_a_tool_does_not_hear_it_as_an_account_that_postgresql_has_not(place, monkeypatch):
    cluster, _ = place
    row = {**cluster.where, "user": "boss"}
    assert tools.access(row, {"database": SECRET}).fds
    monkeypatch.setitem(databases._ACCOUNTS, "postgresql", {"another"})
    with pytest.raises(wire.Refused) as refused:
        tools.access(row, {"database": SECRET})
    assert refused.value.code == "unsafe"


def test_the_account_of_one_engine_is_none_of_another(monkeypatch):
    monkeypatch.setattr(databases, "user_name", {0: "root", 1: "mysql", 2: "postgres", 3: "redis"}.get)
    may = {engine: [uid for uid in range(5) if databases.trusted(engine, uid)] for engine in databases._ACCOUNTS}
    assert may == {"postgresql": [2], "mysql": [0, 1], "redis": [0, 3], "elasticsearch": [0], "mongodb": [0]}


def test_root_runs_the_file_that_was_judged_and_not_a_link_that_another_exchanges(tmp_path, monkeypatch):
    """The owner of a link waits until it was judged, and lets it lead elsewhere."""
    link = tmp_path / "tool"
    link.symlink_to("/bin/echo")
    evil = tmp_path / "evil"
    evil.write_text("#!/bin/sh\necho evil\n")
    evil.chmod(0o755)
    os.chown(evil, pwd.getpwnam(LIAR).pw_uid, -1)
    judged = base._safe

    def and_exchanged(path: str) -> str | None:
        found = judged(path)
        link.unlink()
        link.symlink_to(evil)
        return found

    monkeypatch.setattr(base, "_safe", and_exchanged)
    ran = Look({}).run([str(link), "good"])
    assert (ran.code, ran.out) == (0, "good\n")
    assert os.readlink(link) == str(evil), "the exchange took place"
    monkeypatch.setattr(base, "_safe", judged)
    assert "another account can change it" in Look({}).run([str(link)]).err
