"""Which borg command lines this program runs: a closed list, each value of a checked form."""

import re
from typing import Dict, List, NamedTuple, Optional, Pattern, Tuple

from . import validate, wire

_NUMBER = re.compile(r"[0-9]{1,10}")
_LINE = re.compile(r"[^\n\r\0]{1,4096}")
_NAME = re.compile(r"[^\n\r\0/]{1,255}")
_FORMAT = re.compile(r"[^\0]{1,1000}")
_GLOB = re.compile(r"[^\n\r\0/]{1,300}")

_COMPRESSION = re.compile(
    r"(?:none|(?:obfuscate,[0-9]{1,3},)?(?:auto,)?(?:none|lz4|zstd|zlib|lzma)(?:,[0-9]{1,2})?)",
)
_CHUNKER = re.compile(
    r"(?:default|(?:buzhash,)?[0-9]{1,2},[0-9]{1,2},[0-9]{1,2},[0-9]{3,5}|fixed,[0-9]{1,9}(?:,[0-9]{1,9})?)",
)

_COMMON: Dict[str, Optional[Pattern[str]]] = {
    "--log-json": None,
    "--progress": None,
    "--info": None,
    "--warning": None,
    "--error": None,
    "--critical": None,
    "--verbose": None,
    "--show-rc": None,
    "--show-version": None,
    "--consider-part-files": None,
    "--lock-wait": _NUMBER,
    "--umask": re.compile(r"0?[0-7]{3}"),
    "--upload-ratelimit": _NUMBER,
    "--upload-buffer": _NUMBER,
    "--remote-ratelimit": _NUMBER,
    "--remote-buffer": _NUMBER,
}

_SELECT: Dict[str, Optional[Pattern[str]]] = {
    "--exclude": _LINE,
    # Only include and exclude rules: `R` would name a further root, `P` is a style.
    "--pattern": re.compile(r"(?:[-+!] ?[^\n\r\0]{1,4096}|P (?:fm|sh|re|pp|pf))"),
}

_OPTIONS: Dict[str, Dict[str, Optional[Pattern[str]]]] = {
    "create": {
        "--json": None,
        "--stats": None,
        "--list": None,
        "--dry-run": None,
        "--filter": re.compile(r"[A-Za-z?+-]{1,32}"),
        "--compression": _COMPRESSION,
        "--exclude-caches": None,
        "--exclude-if-present": _NAME,
        "--keep-exclude-tags": None,
        "--exclude-nodump": None,
        "--one-file-system": None,
        "--numeric-ids": None,
        "--numeric-owner": None,
        "--noatime": None,
        "--atime": None,
        "--noctime": None,
        "--nobirthtime": None,
        "--noflags": None,
        "--nobsdflags": None,
        "--noacls": None,
        "--noxattrs": None,
        "--sparse": None,
        "--files-cache": re.compile(r"(?:ctime|mtime|rechunk|disabled)(?:,(?:size|inode)){0,2}"),
        "--chunker-params": _CHUNKER,
        "--checkpoint-interval": _NUMBER,
        "--comment": _LINE,
        "--timestamp": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"),
    },
    "extract": {
        "--list": None,
        "--dry-run": None,
        "--numeric-ids": None,
        "--numeric-owner": None,
        "--noflags": None,
        "--nobsdflags": None,
        "--noacls": None,
        "--noxattrs": None,
        "--sparse": None,
        "--stdout": None,
        "--strip-components": _NUMBER,
    },
    "list": {
        "--json": None,
        "--json-lines": None,
        "--short": None,
        "--format": _FORMAT,
        "--first": _NUMBER,
        "--last": _NUMBER,
        "--sort-by": re.compile(r"[a-z,]{2,40}"),
        "--glob-archives": _GLOB,
        "--consider-checkpoints": None,
    },
}

# What `create` knows too, for an archive whose members come as a tar stream.
_OPTIONS["import-tar"] = {
    name: _OPTIONS["create"][name]
    for name in (
        "--json",
        "--stats",
        "--list",
        "--filter",
        "--compression",
        "--chunker-params",
        "--checkpoint-interval",
        "--comment",
        "--timestamp",
    )
}

# The directory is ours to choose, and so are the options.
_OPTIONS["mount"] = {}

_REMOTE = re.compile(r"ssh://phpborg(/.+)", re.DOTALL)
_ARCHIVE = re.compile(r"[^/{}\n\r\0]{1,250}")


class Command(NamedTuple):
    """A checked command line, taken apart."""

    subcommand: str
    options: List[str]
    repository: bytes
    archive: str
    paths: List[str]


def parse(argv: List[str], local: bool, streams: bool = False) -> Command:
    """Check a borg command line (without the program); Refused when anything is not on the list.

    `streams`: what is to be read comes from pipes, and no path is named.
    """
    subcommands = [word for word in argv if word in _OPTIONS]
    if not subcommands:
        raise wire.Refused("invalid", "the borg command must be create, import-tar, extract, list or mount")
    subcommand = subcommands[0]
    table = dict(_COMMON, **_SELECT)
    table.update(_OPTIONS[subcommand])
    options: List[str] = []
    rest = list(argv)
    seen = False
    while rest:
        word = rest.pop(0)
        if not seen and word == subcommand:
            seen = True
        elif word == "--" or not word.startswith("-"):
            rest = rest if word == "--" else [word, *rest]
            break
        else:
            options += _option(word, rest, table)
    if not seen or not rest:
        raise wire.Refused("invalid", "the borg command has no location")
    repository, archive = _location(rest[0], local, needs_archive=subcommand != "list")
    paths = rest[1:]
    if streams and subcommand != "create":
        raise wire.Refused("invalid", "streams are for create alone")
    _check_paths(subcommand, paths, archive, streams)
    return Command(subcommand, options, repository, archive, paths)


def _option(word: str, rest: List[str], table: Dict[str, Optional[Pattern[str]]]) -> List[str]:
    name, equals, value = word.partition("=")
    if name not in table:
        raise wire.Refused("invalid", "borg option not allowed: {}".format(name), option=name)
    pattern = table[name]
    if pattern is None:
        if equals:
            raise wire.Refused("invalid", "{} takes no value".format(name), option=name)
        return [name]
    if not equals:
        if not rest:
            raise wire.Refused("invalid", "{} needs a value".format(name), option=name)
        value = rest.pop(0)
    if not pattern.fullmatch(value):
        raise wire.Refused("invalid", "{} has a value that is not allowed: {!r}".format(name, value), option=name)
    # One word, so that a value can never be taken for an option.
    return ["{}={}".format(name, value)]


def _location(word: str, local: bool, needs_archive: bool) -> Tuple[bytes, str]:
    place, colons, archive = word.partition("::")
    if local:
        path = place
    else:
        match = _REMOTE.fullmatch(place)
        if not match:
            raise wire.Refused("invalid", "the location must be ssh://phpborg/PATH: {!r}".format(place))
        path = match.group(1)
    repository = validate.absolute(path, "location")
    if any(byte < 32 or byte in b"{}:" for byte in repository):
        raise wire.Refused("invalid", "the repository path has characters that are not allowed: {!r}".format(path))
    if needs_archive and not colons:
        raise wire.Refused("invalid", "the location names no archive")
    if colons and not _ARCHIVE.fullmatch(archive):
        raise wire.Refused("invalid", "this archive name is not allowed: {!r}".format(archive))
    return repository, archive


def _check_paths(subcommand: str, paths: List[str], archive: str, streams: bool) -> None:
    if subcommand == "create":
        if streams and paths:
            # Pipes are read as files (--read-special), and so would be every device that appears below the paths.
            raise wire.Refused("invalid", "streams are an archive of their own: no paths beside them")
        if not paths and not streams:
            raise wire.Refused("invalid", "nothing to back up was named")
        for path in paths:
            validate.absolute(path, "source")
    elif subcommand == "import-tar":
        if paths != ["-"]:
            raise wire.Refused("invalid", "import-tar reads standard input")
    elif subcommand == "mount" and paths:
        raise wire.Refused("invalid", "an archive is mounted as a whole")
    elif paths and not archive:
        raise wire.Refused("invalid", "paths without an archive")
    for path in paths if subcommand in ("extract", "list") else []:
        # A bare name could be read as a pattern (`sh:z`) or an option (`-rf`).
        if not re.match(r"(?:pp|pf|sh|fm|re):.", path, re.DOTALL):
            raise wire.Refused("invalid", "a path in an archive needs its style, as in pp:etc/hosts: {!r}".format(path))


def command_line(command: Command, local: bool) -> List[str]:
    """The words for borg, in the order that leaves nothing to guess."""
    place = wire.shown(command.repository) if local else "ssh://phpborg" + wire.shown(command.repository)
    location = "{}::{}".format(place, command.archive) if command.archive else place
    return [command.subcommand, *command.options, "--", location, *command.paths]
