"""What borg says becomes a sentence for a person: messages as seen with 1.2.4 and 1.4.5."""

from __future__ import annotations

import json

import pytest

from backups import errors as e
from backups.borg.explain import Where, explain
from backups.borg.report import Report
from phpborg.errors import PhpBorgError
from tests.borg.test_findings import log

WHERE = Where(repository="/srv/r", archive="one", host="prod-db-01", holder="vm@1 (process 7)")


def error(message: str, msgid: str = "", name: str = "borg.archiver") -> bytes:
    return log(message, level="ERROR", msgid=msgid, name=name)


def remote(message: str) -> bytes:
    return log(f"Remote: {message}", name="root")


def question(msgid: str, message: str) -> list[bytes]:
    return [
        json.dumps({"type": "question_prompt", "msgid": msgid, "message": message}).encode(),
        json.dumps({"type": "question_accepted_false", "msgid": msgid, "message": "Aborting."}).encode(),
    ]


CLOSED = error("Connection closed by remote host. Is borg working on the server?", "ConnectionClosedWithHint")
MOVED = question(
    "BORG_RELOCATED_REPO_ACCESS_IS_OK",
    "Warning: The repository at location /srv/r was previously located at /old/r\nDo you want to continue? [yN] ",
)
UNKNOWN = question(
    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK",
    "Warning: Attempting to access a previously unknown unencrypted repository!\nDo you want to continue? [yN] ",
)


@pytest.mark.parametrize(
    ("lines", "code", "kind", "facts", "quoted"),
    [
        ([error("passphrase supplied in … is incorrect.", "PassphraseWrong")], 2, e.PassphraseWrong, {}, ""),
        ([b'Enter passphrase for key /r: ' + error("can not acquire a passphrase", "NoPassphraseFailure")], 2,
         e.PassphraseMissing, {}, ""),
        ([error("Repository /srv/r does not exist.", "Repository.DoesNotExist")], 2, e.RepositoryMissing,
         {"path": "/srv/r"}, ""),
        ([error("/srv/r is not a valid repository.", "Repository.InvalidRepository")], 15, e.RepositoryNotBorg, {}, ""),
        ([error("Archive one already exists", "Archive.AlreadyExists")], 2, e.ArchiveExists, {"archive": "one"}, ""),
        ([error("Archive one does not exist", "Archive.DoesNotExist")], 31, e.ArchiveMissing, {"archive": "one"}, ""),
        ([error("Failed to create/acquire the lock /srv/r/lock.exclusive (timeout).", "LockTimeout")], 2, e.LockBusy,
         {"holder": "vm@1 (process 7)"}, "timeout"),
        ([error("Failed to acquire the lock /srv/r/lock.exclusive ([Errno 13] Permission denied: 'x').", "LockFailed")],
         72,
         e.RepositoryNotReadable, {"path": "/srv/r"}, ""),
        ([error("Failed to acquire the lock /srv/r/lock.exclusive ([Errno 28] No space left).", "LockFailed")], 72,
         e.DiskFull, {}, ""),
        ([*MOVED, error("Repository access aborted", "Cache.RepositoryAccessAborted")], 2, e.RepositoryRelocated,
         {"old": "/old/r", "new": "/srv/r"}, ""),
        ([*UNKNOWN, error("Cache initialization aborted", "Cache.CacheInitAbortedError")], 60, e.UnknownUnencrypted,
         {}, ""),
        ([error("Cache, or information … is newer than repository", "Cache.RepositoryReplay")], 2, e.RepositoryReplay,
         {}, ""),
        ([error("Cache is newer than repository", "Cache.RepositoryIDNotUnique")], 63, e.RepositoryReplay, {}, ""),
        ([log("No space left on device, cleaning up partial transaction to free space.", name="borg.repository"),
          error("Local Exception", "Exception"), error("Traceback …\nOSError: [Errno 28] No space left on device")], 2,
         e.DiskFull, {}, "Errno 28"),
        # Case 40: borg is not in the PATH of a shell without a terminal; a wrong path of borg.
        ([remote("bash: line 1: borg: command not found"), CLOSED], 2, e.BorgMissing, {"host": "prod-db-01"},
         "Remote: bash: line 1: borg: command not found"),
        ([remote("bash: line 1: /opt/borg/borg: No such file or directory"), CLOSED], 81, e.BorgMissing,
         {"host": "prod-db-01"}, "Remote: bash: line 1: /opt/borg/borg: No such file or directory"),
        ([b"sh: 1: borg: not found"], 127, e.BorgMissing, {"host": "prod-db-01"}, "sh: 1: borg: not found"),
        ([b"sudo: /usr/bin/borg: command not found"], 1, e.BorgMissing, {"host": "prod-db-01"}, "sudo:"),
        # Case 39: a login script writes into the protocol.
        ([error("Got unexpected RPC data format from server:\n*** Welcome to prod-db-01 ***\n",
                "UnexpectedRPCDataFormatFromServer")], 2, e.ProtocolPolluted, {"host": "prod-db-01"},
         "*** Welcome to prod-db-01 ***"),
        ([remote("ssh: connect to host x port 22: Connection refused"), CLOSED], 2, e.ConnectionLost,
         {"host": "prod-db-01"}, "Connection refused"),
        ([CLOSED], 2, e.ConnectionLost, {}, "Connection closed"),
        ([b"client_loop: send disconnect: Broken pipe"], 255, e.ConnectionLost, {}, "Broken pipe"),
        ([error("Repository path not allowed: /srv/r", "PathNotAllowed")], 2, e.AccessRefused, {"path": "/srv/r"}, ""),
        ([b'Invalid placeholder "x" in string: r1::{x}'], 2, e.InvalidPlaceholder, {}, "Invalid placeholder"),
        ([b"usage: borg [-V]", b"borg: error: unrecognized arguments: --bogus"], 2, e.UsageRefused, {}, "--bogus"),
        ([b"borg create: error: argument -C/--compression: invalid"], 2, e.UsageRefused, {}, "--compression"),
        ([error("Data integrity error: x", "IntegrityError")], 90, e.RepositoryDamaged, {}, "integrity"),
        ([error("Local Exception", "Exception"),
          error("Traceback …\nPermissionError: [Errno 13] Permission denied: '/srv/r/x'")],
         2, e.RepositoryNotReadable, {"path": "/srv/r"}, "Errno 13"),
        ([error("Something new", "Brand.New")], 2, e.BorgError, {}, "Something new"),
    ],
)  # fmt: skip
def test_messages(lines: list[bytes], code: int, kind: type[e.BorgError], facts: dict[str, str], quoted: str) -> None:
    report = Report()
    for line in lines:
        report.stderr(line)
    found = explain(report, code, WHERE)
    assert type(found) is kind
    assert found is not None
    assert facts.items() <= found.facts.items()
    assert quoted in found.detail
    assert "…" not in str(found).replace(found.detail, "")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (52, e.PassphraseWrong), (50, e.PassphraseMissing), (13, e.RepositoryMissing), (73, e.LockBusy),
        (86, e.ProtocolPolluted), (6, e.InvalidPlaceholder), (20, e.QuotaExceeded), (14, e.DiskFull),
        (127, e.BorgMissing),
    ],
)  # fmt: skip
def test_a_modern_code_speaks_when_the_message_was_lost(code: int, kind: type[e.BorgError]) -> None:
    assert type(explain(Report(), code, WHERE)) is kind


def test_nothing_said_is_no_error() -> None:
    report = Report()
    for line in (remote("Welcome"), log("Killed stale lock", name="borg.locking"), b"*** motd ***"):
        report.stderr(line)
    assert explain(report, 1, WHERE) is None
    assert explain(report, None, WHERE) is None


def test_a_banner_cannot_make_up_an_error() -> None:
    """The text of strangers is only searched for what a transport says, and never for a grade."""
    report = Report()
    report.stderr(remote("Disk report: No space left on device last year"))
    report.stderr(error("Archive one already exists", "Archive.AlreadyExists"))
    assert type(explain(report, 2, WHERE)) is e.ArchiveExists


def test_every_error_has_two_sentences() -> None:
    codes = set()
    for kind in vars(e).values():
        if isinstance(kind, type) and issubclass(kind, PhpBorgError) and kind.__module__ == e.__name__:
            assert str(kind.title)
            assert str(kind.advice)
            codes.add(kind.code)
    assert len(codes) >= 35
