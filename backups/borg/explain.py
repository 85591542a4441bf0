"""From what borg said and how it ended to one of our errors.

Borg's message ids come first, then text that is known word for word, then the modern exit codes of
borg 1.4 (for a message that was lost). Where none fits, the error quotes borg's own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from backups import errors as e
from backups.borg.report import Report


@dataclass(frozen=True)
class Where:
    """What the sentences name. `host` is the machine at the other end of borg's connection."""

    repository: str = ""
    archive: str = ""
    host: str = ""
    holder: str = ""


Maker = Callable[[str, Where], e.BorgError]


def _plain(kind: type[e.BorgError]) -> Maker:
    return lambda words, where: kind(words)


def _path(kind: type[e.BorgError]) -> Maker:
    return lambda words, where: kind(words, path=where.repository)


def _archive(kind: type[e.BorgError]) -> Maker:
    return lambda words, where: kind(words, archive=where.archive)


def _host(kind: type[e.BorgError]) -> Maker:
    return lambda words, where: kind(words, host=where.host or "localhost")


def lock_busy(words: str, where: Where) -> e.BorgError:
    """Somebody holds the lock."""
    return e.LockBusy(words, holder=where.holder or "?", path=where.repository)


# Message id (without the class around it), modern exit code, maker.
_KNOWN: tuple[tuple[str, int, Maker], ...] = (
    ("PassphraseWrong", 52, _plain(e.PassphraseWrong)),
    ("NoPassphraseFailure", 50, _plain(e.PassphraseMissing)),
    ("PasswordRetriesExceeded", 53, _plain(e.PassphraseMissing)),
    ("Repository.DoesNotExist", 13, _path(e.RepositoryMissing)),
    ("Repository.ParentPathDoesNotExist", 18, _path(e.RepositoryMissing)),
    ("Repository.InvalidRepository", 15, _path(e.RepositoryNotBorg)),
    ("Repository.InvalidRepositoryConfig", 16, _path(e.RepositoryNotBorg)),
    ("Repository.AtticRepository", 11, _path(e.RepositoryNotBorg)),
    ("UnsupportedManifestError", 27, _path(e.RepositoryNotBorg)),
    ("UnsupportedPayloadError", 48, _path(e.RepositoryNotBorg)),
    ("MandatoryFeatureUnsupported", 25, _path(e.RepositoryNotBorg)),
    ("Repository.AlreadyExists", 10, _path(e.RepositoryExists)),
    ("Repository.PathAlreadyExists", 19, _path(e.RepositoryExists)),
    ("Repository.PathPermissionDenied", 21, _path(e.RepositoryNotReadable)),
    ("Repository.StorageQuotaExceeded", 20, _plain(e.QuotaExceeded)),
    ("Repository.InsufficientFreeSpaceError", 14, _plain(e.DiskFull)),
    ("Repository.CheckNeeded", 12, _plain(e.RepositoryDamaged)),
    ("Repository.ObjectNotFound", 17, _plain(e.RepositoryDamaged)),
    ("NoManifestError", 26, _plain(e.RepositoryDamaged)),
    ("IntegrityError", 90, _plain(e.RepositoryDamaged)),
    ("FileIntegrityError", 91, _plain(e.RepositoryDamaged)),
    ("DecompressionError", 92, _plain(e.RepositoryDamaged)),
    ("TAMInvalid", 97, _plain(e.RepositoryDamaged)),
    ("ArchiveTAMInvalid", 95, _plain(e.RepositoryDamaged)),
    ("TAMRequiredError", 98, _plain(e.RepositoryDamaged)),
    ("Archive.AlreadyExists", 30, _archive(e.ArchiveExists)),
    ("Archive.DoesNotExist", 31, _archive(e.ArchiveMissing)),
    ("LockTimeout", 73, lock_busy),
    ("Cache.RepositoryReplay", 64, _plain(e.RepositoryReplay)),
    ("Cache.RepositoryIDNotUnique", 63, _plain(e.RepositoryReplay)),
    ("Cache.EncryptionMethodMismatch", 61, lambda w, _: e.EncryptionChanged(w, expected="?", found="?")),
    ("KeyfileNotFoundError", 42, _plain(e.KeyMissing)),
    ("RepoKeyNotFoundError", 44, _plain(e.KeyMissing)),
    ("UnexpectedRPCDataFormatFromServer", 86, _host(e.ProtocolPolluted)),
    ("ConnectionClosed", 80, _host(e.ConnectionLost)),
    ("ConnectionClosedWithHint", 81, _host(e.ConnectionLost)),
    ("ConnectionBrokenWithHint", 87, _host(e.ConnectionLost)),
    ("PathNotAllowed", 83, lambda w, where: e.AccessRefused(w, path=where.repository)),
    ("InvalidPlaceholder", 6, _plain(e.InvalidPlaceholder)),
    ("PlaceholderError", 5, _plain(e.InvalidPlaceholder)),
    ("CommandError", 4, _plain(e.UsageRefused)),
)
_BY_ID = {msgid: maker for msgid, _, maker in _KNOWN}
_BY_CODE = {code: maker for _, code, maker in _KNOWN}

_NO_SPACE = re.compile(r"\[Errno 28\]|No space left on device")
_REFUSED = re.compile(r"\[Errno (?:13|1|30)\]|Permission denied|Read-only file system")
_NO_PROGRAM = re.compile(
    r"(?P<line>[^\n]*\bborg\S*['\"’]?:? (?:command )?not found[^\n]*"
    r"|[^\n]*borg[^\n]*: No such file or directory[^\n]*"
    r"|[^\n]*No such file or directory: '[^'\n]*borg[^'\n]*'[^\n]*)"
)
_MOVED = re.compile(r"The repository at location (?P<new>.+) was previously located at (?P<old>.+)\n", re.DOTALL)
_TRANSPORT = re.compile(
    r"Connection (?:closed|reset|refused|timed out)|Broken pipe|client_loop|Timeout, server .* not responding"
    r"|Host key verification failed|Permission denied \(|Could not resolve hostname|No route to host"
)


def explain(report: Report, code: int | None, where: Where) -> e.BorgError | None:
    """Why borg failed, or None when nothing that it said is an error."""
    words = report.words()
    for find in (_by_prompt, _by_message, _by_text):
        error = find(report, words, where)
        if error:
            return error
    if code in _BY_CODE:
        return _BY_CODE[code](words, where)
    if code is not None and code in (126, 127):
        return e.BorgMissing(words, host=where.host or "localhost")
    if code == 255:  # ssh's own, never borg's
        return e.ConnectionLost(words, host=where.host or "localhost")
    return e.BorgError(words) if report.errors else None


def _by_prompt(report: Report, words: str, where: Where) -> e.BorgError | None:
    """Questions come before the abort that they lead to, and know more than it does."""
    aborted = {event.msgid for event in report.errors}
    for prompt in report.prompts:
        if prompt.msgid == "BORG_RELOCATED_REPO_ACCESS_IS_OK" and "Cache.RepositoryAccessAborted" in aborted:
            moved = _MOVED.search(prompt.message)
            old, new = (moved["old"], moved["new"]) if moved else ("?", where.repository)
            return e.RepositoryRelocated(words, old=old, new=new)
        if prompt.msgid == "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK" and "Cache.CacheInitAbortedError" in aborted:
            return e.UnknownUnencrypted(words)
    return None


def _by_message(report: Report, words: str, where: Where) -> e.BorgError | None:
    for event in report.errors:
        if event.msgid.startswith("ConnectionClosed"):
            return _closed(report, words, where)
        if event.msgid in ("LockFailed", "LockError", "LockErrorT"):
            return _lock_failed(event.message, words, where)
        maker = _BY_ID.get(event.msgid)
        if maker:
            return maker(words, where)
    said = "\n".join(event.message for event in (*report.errors, *report.warnings) if event.name.startswith("borg"))
    if report.errors and _NO_SPACE.search(said):
        return e.DiskFull(words)
    if any(event.msgid in ("Exception", "PermissionError", "OSError") for event in report.errors):
        return _exception(said, words, where)
    return None


def _closed(report: Report, words: str, where: Where) -> e.BorgError:
    remote = "\n".join(report.remote)
    missing = _NO_PROGRAM.search(remote)
    if missing:
        return e.BorgMissing("Remote: " + missing["line"], host=where.host or "localhost")
    if _NO_SPACE.search(remote):
        return e.DiskFull(words)
    return e.ConnectionLost(words, host=where.host or "localhost")


def _lock_failed(message: str, words: str, where: Where) -> e.BorgError:
    """Not a lock that is held, but one that the file system would not let us make."""
    if _NO_SPACE.search(message):
        return e.DiskFull(words)
    if _REFUSED.search(message):
        return e.RepositoryNotReadable(words, path=where.repository)
    return lock_busy(words, where)


def _exception(said: str, words: str, where: Where) -> e.BorgError:
    if where.repository and where.repository in said and _REFUSED.search(said):
        return e.RepositoryNotReadable(words, path=where.repository)
    if "BrokenPipeError" in said or "ConnectionResetError" in said:
        return e.ConnectionLost(words, host=where.host or "localhost")
    return e.BorgError(words)


def _by_text(report: Report, words: str, where: Where) -> e.BorgError | None:
    text = "\n".join((*report.texts, *report.remote))
    if "Invalid placeholder" in text:
        return e.InvalidPlaceholder(words)
    if re.search(r"^borg(?: [a-z-]+)*: error: ", text, re.MULTILINE):
        return e.UsageRefused(words)
    missing = _NO_PROGRAM.search(text)
    if missing:
        return e.BorgMissing(missing["line"], host=where.host or "localhost")
    if _TRANSPORT.search(text):
        return e.ConnectionLost(words, host=where.host or "localhost")
    if _NO_SPACE.search(text):
        return e.DiskFull(words)
    return None
