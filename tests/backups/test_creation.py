"""What a run says beside borg: streams that are whole, logins that were given, what is owed for what was frozen."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from backups.job_errors import SnapshotOverflowed
from backups.models import BackupJob
from backups.services import credentials, freezing
from backups.services.creation import Streams
from backups.services.freezing import Frozen
from backups.sources.base import Feed, Freeze, Stream, View
from phpborg.errors import InvalidInput
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.registry import lease_remover
from servers import errors


def plan(**source: Any) -> Any:
    return SimpleNamespace(source=SimpleNamespace(**{"streams": (), "feed": None, **source}))


def line(**row: Any) -> bytes:
    return json.dumps({"type": "phpborg_stream", **row}).encode()


def test_only_lines_about_streams_are_taken() -> None:
    streams = Streams()
    for other in (b"plain", b'{"type": "log_message"}', b'"phpborg_stream" {', b'["phpborg_stream"]', b""):
        assert streams.hear(other) is None
    assert streams.hear(line(name="a.sql", bytes=7, what="shop", said="NOTICE")) == {
        "name": "a.sql", "bytes": 7, "what": "shop", "said": "NOTICE",
    }  # fmt: skip
    assert streams.hear(line(name="b.sql", bytes=True))["bytes"] is None  # type: ignore[index]


def test_what_nobody_spoke_of_is_missing() -> None:
    streams = Streams()
    streams.hear(line(name="a.sql", bytes=7))
    asked = plan(streams=(Stream("a.sql", "pg_dump"), Stream("b.sql", "pg_dump")))
    assert streams.missing(asked) == ["b.sql"]
    assert streams.missing(plan()) == []
    assert Streams().missing(plan(feed=Feed("pg_basebackup", "/data"))) == ["/data"]
    assert streams.missing(plan(feed=Feed("pg_basebackup", "/data"))) == []


def test_a_login_is_kept_sealed_and_never_shown(db: None) -> None:
    known = credentials.login(" backup ", "pa'ss \"w\\ord é")
    sealed = known.sealed()
    assert "pa'ss" not in sealed
    assert "pa'ss" not in repr(known)
    assert credentials.unseal(sealed) == known
    job = BackupJob(source_kind="mysql", source={"login": "given"}, credentials=sealed)
    assert credentials.for_tools(job) == {"database": known.password}
    here = SimpleNamespace(socket="/run/mysqld/mysqld.sock", port=3306)
    row = {"user": "backup", "password": known.password, "alone": True, "socket": here.socket}
    assert json.loads(credentials.for_probe(job, here)["mysql"]) == row
    job.source = {"login": "auto"}
    assert (credentials.for_tools(job), credentials.for_probe(job, here)) == ({}, {})
    for user, password in (("", "x"), ("a\nb", "x"), ("a", "x\0"), ("a" * 501, "x")):
        with pytest.raises(InvalidInput):
            credentials.login(user, password)


class FakeHost:
    """Answers the verb `snapshot` from a list, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def call(self, verb: str, args: dict[str, Any], **more: Any) -> Any:
        self.asked.append({"verb": verb, **args})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeContext:
    """The part of a task's context that freezing uses, with real leases."""

    def __init__(self) -> None:
        self.task = Task.objects.create(kind="backup", queue="backup")
        self.stop = SimpleNamespace(is_set=lambda: False, check=lambda: None)
        self.lines: list[str] = []

    def hold(self, kind: str, **data: Any) -> Lease:
        return Lease.objects.create(task=self.task, kind=kind, data=data)

    def release(self, lease: Lease) -> bool:
        from phpborg.tasks import leases

        return leases.release(lease)

    def log(self, text: str) -> None:
        self.lines.append(text)


FREEZE = Freeze(
    "lvm",
    {"kind": "lvm", "vg": "vg-a", "lv": "lv-data", "size_bytes": 1 << 30, "hold": {"engine": "mysql"}},
    (View("/mysql", "/var/lib/mysql"),),
    "made",
    "removed",
)


@pytest.fixture
def job(db: None, repository: Any, make_job: Any) -> BackupJob:
    return make_job(repository, b"/etc")


def frozen_on_a_fake_host(host: FakeHost, job: BackupJob, context: FakeContext) -> Frozen:
    return Frozen(context, job, host, FREEZE)  # type: ignore[arg-type]


def test_it_is_written_down_before_it_is_made_and_names_no_more_than_it_must(job: BackupJob, monkeypatch: Any) -> None:
    context = FakeContext()
    host = FakeHost({"name": "phpborg-x"}, {"valid": True, "used_percent": 3.5}, {"removed": []})
    monkeypatch.setattr("backups.leases.host_for", lambda server: host)
    frozen = frozen_on_a_fake_host(host, job, context)
    frozen.make()
    lease = Lease.objects.get()
    token = lease.data["token"]
    assert lease.data["arguments"] == {"kind": "lvm", "vg": "vg-a", "lv": "lv-data"}
    assert host.asked[0]["hold"] == {"engine": "mysql"}
    assert frozen.views == [{"token": token, "inside": "/mysql", "at": "/var/lib/mysql"}]
    assert frozen.check() is None
    assert frozen.facts["used_percent"] == 3.5
    frozen.remove()
    frozen.remove()
    assert [row["action"] for row in host.asked] == ["make", "state", "remove"]
    assert {row["token"] for row in host.asked} == {token}
    assert not Lease.objects.held().exists()


def test_one_that_did_not_last_is_a_failure_and_one_that_nobody_knows_of_a_note(job: BackupJob) -> None:
    lost = errors.ConnectionLost(address="x")
    host = FakeHost({}, {"valid": False, "used_percent": 100.0}, {"valid": None}, lost)
    frozen = frozen_on_a_fake_host(host, job, FakeContext())
    frozen.make()
    for _ in range(2):
        with pytest.raises(SnapshotOverflowed):
            frozen.check()
    finding = frozen.check()
    assert finding is not None
    assert finding.kind == "freeze_unknown"


def test_a_removal_that_fails_is_tried_again_by_the_reaper(job: BackupJob, monkeypatch: Any) -> None:
    context = FakeContext()
    host = FakeHost({}, errors.ConnectionLost(address="x"), {"removed": ["phpborg-x"]})
    monkeypatch.setattr("backups.leases.host_for", lambda server: host)
    frozen = frozen_on_a_fake_host(host, job, context)
    frozen.make()
    frozen.remove()
    lease = Lease.objects.get()
    assert lease.released_at is None
    assert "tried again" in context.lines[0]
    lease_remover("snapshot")(lease.data)
    assert host.asked[-1]["action"] == "remove"


def test_a_job_that_is_gone_keeps_nothing_frozen(job: BackupJob) -> None:
    host = FakeHost({"removed": []})
    freezing.remove(host, None, {"arguments": {"kind": "btrfs"}, "token": "abc"})  # type: ignore[arg-type]
    assert host.asked == [{"verb": "snapshot", "kind": "btrfs", "action": "remove", "token": "abc"}]
