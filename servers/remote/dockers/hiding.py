"""Words of an engine or of Compose without what is secret in them: they quote the options and settings that fail."""

import json
import os
import re
import stat
from typing import Any, Dict, Iterable, List, Set

from ..probes import compose_file
from ..probes.docker_said import _SECRET

HIDDEN = "***"
_MOST_BYTES = 1 << 20
# Of an option `o`: what a mistake is found by, and is no secret.
_PLAIN = {"addr", "vers", "nfsvers", "proto", "port", "sec", "uid", "gid", "file_mode", "dir_mode", "mode", "size"}
# A value that is not called a secret is hidden only when it is no common word.
_LONG, _SHORT = 8, 2
_IN_ADDRESS = re.compile(r"://[^/\s:@]*:([^/\s@]+)@|^//[^/\s:@]*:([^/\s@]+)@")


def hidden(text: str, values: Iterable[str]) -> str:
    """The text without these values, also as they are written in quotes."""
    forms: Set[str] = set()
    for value in values:
        forms |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    for form in sorted(forms, key=lambda one: (-len(one), one)):
        text = text.replace(form, HIDDEN) if form else text
    return text


def of_options(options: Dict[str, Any]) -> List[str]:
    """What is secret of a volume's options."""
    found: List[str] = []
    for name, value in (options or {}).items():
        text = str(value)
        found += _in_address(text)
        if name in ("type", "device"):
            continue
        words = [word.partition("=") for word in text.split(",")]
        if name == "o":
            found += [said for key, equals, said in words if equals and key not in _PLAIN and len(said) >= _SHORT]
        elif len(text) >= _SHORT:
            found.append(text)
    return found


def of_environment(rows: Iterable[str]) -> List[str]:
    """What is secret of NAME=VALUE: what is called so, and what is long."""
    found: List[str] = []
    for row in rows:
        name, _, value = str(row).partition("=")
        found += _in_address(value)
        if len(value) >= (_SHORT if _SECRET.search(name) else _LONG):
            found.append(value)
    return found


def of_files(paths: Iterable[bytes]) -> List[str]:
    """The same of files of environments; those that cannot be read say nothing."""
    rows: List[str] = []
    for path in paths:
        rows += ["=".join(pair) for pair in compose_file.variables_of(_text(path)).items()]
    return of_environment(rows)


def _text(path: bytes) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return ""
        return file.read(_MOST_BYTES).decode("utf-8", "replace")


def _in_address(text: str) -> List[str]:
    """Passwords of addresses such as scheme://name:password@host."""
    return [first or second for first, second in _IN_ADDRESS.findall(text)]
