"""What may be written where borg expects a mode, a compression, a path or a pattern.

Values come from people and from imported data, so each is checked against what borg accepts before
it gets near an argv. Raises `InvalidInput` with a sentence for the field.
"""

from __future__ import annotations

import re
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from phpborg.errors import InvalidInput


class Encryption(StrEnum):
    """How a repository protects its content. The key always lives in the repository itself."""

    REPOKEY_BLAKE2 = "repokey-blake2"
    REPOKEY = "repokey"
    AUTHENTICATED_BLAKE2 = "authenticated-blake2"
    AUTHENTICATED = "authenticated"
    NONE = "none"

    @property
    def has_key(self) -> bool:
        """A passphrase is needed and a key can be exported."""
        return self is not Encryption.NONE

    @property
    def conceals(self) -> bool:
        """Who reads the disk learns nothing; borg asks no question about an unencrypted repository."""
        return self in (Encryption.REPOKEY_BLAKE2, Encryption.REPOKEY)


DEFAULT_ENCRYPTION = Encryption.REPOKEY_BLAKE2


def _refuse(field: Promise, problem: Promise) -> InvalidInput:
    return InvalidInput(field=str(field), problem=str(problem))


def encryption(value: str) -> Encryption:
    """The mode, or `InvalidInput`; key files are refused with the reason."""
    if value.startswith("keyfile"):
        raise _refuse(
            _("Encryption"),
            _("with a key file the key would exist on one machine only; use a mode that keeps it in the repository"),
        )
    try:
        return Encryption(value)
    except ValueError:
        raise _refuse(_("Encryption"), _("it is not a mode that Borg 1.2 and 1.4 know")) from None


_LEVELS = {"none": None, "lz4": None, "zstd": range(1, 23), "zlib": range(0, 10), "lzma": range(0, 7)}
_COMPRESSION = re.compile(r"(?:auto,)?(none|lz4|zstd|zlib|lzma)(?:,([0-9]{1,2}))?", re.ASCII)


def compression(value: str) -> str:
    """`value` when borg accepts it as --compression: none, lz4, zstd[,1-22], zlib[,0-9], lzma[,0-6], auto,X."""
    found = _COMPRESSION.fullmatch(value)
    if not found:
        raise _refuse(_("Compression"), _("allowed are none, lz4, zstd[,1-22], zlib[,0-9], lzma[,0-6] and auto,…"))
    name, level = found.groups()
    levels = _LEVELS[name]
    if level is not None and (levels is None or int(level) not in levels):
        raise _refuse(_("Compression"), _("this level does not exist for this algorithm"))
    if value == "auto,none":
        raise _refuse(_("Compression"), _("“auto” needs an algorithm to choose"))
    return value


def repository_path(value: str) -> str:
    """An absolute, normalised path that borg's location syntax can carry."""
    problem: Promise | None = None
    if not value.startswith("/"):
        problem = _("the path must start with /")
    elif any(part in ("", ".", "..") for part in value[1:].split("/")):
        problem = _("the path must be written without //, . and .. and without a / at its end")
    elif any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        problem = _("the path holds a control character")
    elif "::" in value or value.endswith(":"):
        problem = _("“::” separates repository and archive, so the path must not hold it nor end with “:”")
    if problem:
        raise _refuse(_("Repository path"), problem)
    return value


_REMOTE = re.compile(
    r"ssh://(?:[A-Za-z0-9._-]+@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(/.+)", re.DOTALL
)


def location(value: str) -> str:
    """A repository as borg is told of it: a local path or `ssh://host/ABSOLUTE/PATH`."""
    if value.startswith("ssh://"):
        found = _REMOTE.fullmatch(value)
        if not found or value[6] == "-":
            raise _refuse(_("Repository path"), _("the address is not of the form ssh://host/path"))
        path = found.group(1)
        # `/./x` and `/~/x` are borg's spellings of paths that start at the login directory.
        repository_path("/" + path[3:] if path.startswith(("/./", "/~/")) else path)
        return value
    return repository_path(value)


def archive_name(value: str) -> str:
    """A name that borg accepts: anything without “/” (imported names hold spaces, quotes, newlines)."""
    if not value or "/" in value or "\0" in value:
        raise _refuse(_("Archive"), _("the name must not be empty nor hold “/”"))
    return value


_STYLES = ("fm:", "sh:", "pp:", "pf:", "re:")


def exclude(value: str) -> str:
    """A borg pattern that is absolute or has a style prefix, so that it means the same everywhere."""
    problem: Promise | None = None
    if any(letter in value for letter in "\0\r\n"):
        problem = _("a pattern is one line")
    elif any("\ud800" <= letter <= "\udfff" for letter in value):
        problem = _("a pattern is text; use ? for a character that is not UTF-8")
    elif value.startswith("re:"):
        try:
            re.compile(value[3:])
        except (re.error, RecursionError, OverflowError):
            problem = _("the regular expression is not valid")
    elif value.startswith(_STYLES):
        if not value[3:]:
            problem = _("the pattern is empty")
    elif not value.startswith(("/", "*")):
        problem = _("a pattern starts with /, with * or with a style such as sh:")
    if problem:
        raise _refuse(_("Exclusions"), problem)
    return value


def source(value: bytes) -> bytes:
    """An absolute path to back up. Names below it may be any bytes; the path itself must be UTF-8.

    Borg writes its command line as text into the archive and fails at the very end if it cannot.
    """
    if not value.startswith(b"/") or b"\0" in value:
        raise _refuse(_("Path"), _("the path must start with /"))
    if b".." in value.split(b"/"):
        raise _refuse(_("Path"), _("the path must not hold “..”"))
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        problem = _("Borg cannot start at a name that is not UTF-8; choose the folder above it")
        raise _refuse(_("Path"), problem) from None
    return value


_FILES_CACHE = {
    "disabled", "ctime,size,inode", "mtime,size,inode", "ctime,size", "mtime,size", "rechunk,ctime", "rechunk,mtime",
}  # fmt: skip


def files_cache(value: str) -> str:
    """How borg recognises an unchanged file."""
    if value not in _FILES_CACHE:
        raise _refuse(_("Change detection"), _("it is not a mode that Borg knows"))
    return value


def passphrase(value: str, mode: Encryption) -> str:
    """A passphrase that reaches borg unchanged; borg reads it as one line of UTF-8."""
    if not mode.has_key:
        return ""
    if not value:
        raise _refuse(_("Passphrase"), _("this mode needs a passphrase"))
    if any(letter in value for letter in "\0\r\n"):
        raise _refuse(_("Passphrase"), _("it must be one line"))
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _refuse(_("Passphrase"), _("it must be text")) from None
    return value


_MOUNT_OPTION = re.compile(
    r"allow_other|allow_root|ignore_permissions|allow_damaged_files|versions|(?:uid|gid)=[0-9]{1,10}|umask=[0-7]{3,4}",
    re.ASCII,
)


def mount_option(value: str) -> str:
    """One of borg mount's `-o` words that we use; programming errors raise ValueError."""
    if not _MOUNT_OPTION.fullmatch(value):
        raise ValueError(f"mount option {value!r}")
    return value
