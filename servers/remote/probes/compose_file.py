"""What a Compose file names that no label tells: profiles, build contexts, files of environments, configs and secrets.

Not YAML, but the part of it that Compose files are written in: block mappings and lists, flow ones, quoted words,
anchors, aliases and merges. What it does not understand it leaves out; it never guesses. Values of environments are
stepped over: only the names of files leave here.

A name that is made of a variable is told only as compose_values.py allows it.
"""

import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import compose_values

LIMIT_BYTES = 1 << 18
_MOST_LINES, _MOST_DEPTH, _MOST_NAMES = 6000, 40, 500
_MOST_FLOWING = 200  # lines that one bracket goes over
_MOST_KEY = 4096
_NO_KEY = " \t#[]{},&*!|>%@`"
_MARK = re.compile(r"(&|!|\*)([^\s,\[\]{}]*)\s*(.*)$", re.DOTALL)


class Odd(Exception):
    """It is written in a way that is not known here."""


class Line(NamedTuple):
    """One line without its comment: how far it is moved in, and what it says."""

    indent: int
    text: str


class Named(NamedTuple):
    """Absolute paths as the file means them; whether they exist is not looked at.

    `unclear`: names with a variable in them that is neither in the project's .env nor has a value of its own there.
    """

    profiles: List[str]
    builds: List[Dict[str, Optional[str]]]  # service, context (a directory), dockerfile
    environment: List[str]
    files: List[str]
    unclear: List[str]
    variables: Dict[str, str]


def nothing(variables: Dict[str, str]) -> Named:
    """Nothing yet, for a project with these variables."""
    return Named([], [], [], [], [], variables)


def variables_of(text: str) -> Dict[str, str]:
    """What a project's .env says; only names of files are ever made of it."""
    rows = (line.strip().partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {name.strip(): _scalar(value) or "" for name, equals, value in rows if equals}


def named(text: str, directory: str, variables: Optional[Dict[str, str]] = None) -> Named:
    """What a Compose file of a project in `directory` names. Raises Odd."""
    document = parse(text)
    found = nothing(variables or {})
    if not isinstance(document, dict):
        raise Odd("it is no table")
    for name, service in _tables(document.get("services", document)):
        _service(found, name, service, directory)
    for kind in ("configs", "secrets"):
        for _, one in _tables(document.get(kind)):
            _add(found, found.files, one.get("file"), directory)
    for one in _list(document.get("include")):
        paths = one.get("path") if isinstance(one, dict) else one
        for path in _list(paths):
            _add(found, found.files, path, directory)
    return found


def _service(found: Named, name: str, service: Dict[str, Any], directory: str) -> None:
    for profile in _list(service.get("profiles")):
        if isinstance(profile, str) and profile not in found.profiles[:_MOST_NAMES]:
            found.profiles.append(profile)
    for one in _list(service.get("env_file")):
        _add(found, found.environment, one.get("path") if isinstance(one, dict) else one, directory)
    extends = service.get("extends")
    if isinstance(extends, dict):
        _add(found, found.files, extends.get("file"), directory)
    build = service.get("build")
    if build is None or len(found.builds) >= _MOST_NAMES:
        return
    table = build if isinstance(build, dict) else {"context": build}
    context = _path(found, table.get("context") or ".", directory)
    if context is not None:
        dockerfile = _path(found, table.get("dockerfile") or "Dockerfile", context)
        found.builds.append({"service": name, "context": context, "dockerfile": dockerfile})


def _add(found: Named, paths: List[str], value: Any, directory: str) -> None:
    path = _path(found, value, directory)
    if path is not None and path not in paths and len(paths) < _MOST_NAMES:
        paths.append(path)


def _path(found: Named, value: Any, directory: str) -> Optional[str]:
    """Absolute; None for what lies elsewhere or follows from a variable."""
    if not isinstance(value, str) or not value or "\0" in value or compose_values.REMOTE.match(value):
        return None
    try:
        value = compose_values.filled(value, found.variables)
    except KeyError:
        if len(found.unclear) < _MOST_NAMES:
            found.unclear.append(compose_values.bare(value))
        return None
    if compose_values.REMOTE.match(value):
        return None
    if value.startswith("~/"):
        value = os.path.join("/root", value[2:])
    return os.path.normpath(os.path.join(directory, value))


def _tables(value: Any) -> Iterator[Tuple[str, Dict[str, Any]]]:
    for name, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, dict):
            yield str(name), one


def _list(value: Any) -> List[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


# --- the language ----------------------------------------------------------------------------------


def parse(text: str) -> Any:
    """Tables, lists, texts and None of the first document. Raises Odd."""
    lines = list(_lines(text))
    if len(lines) > _MOST_LINES:
        raise Odd("it has too many lines")
    if not lines:
        return None
    reader = _Reader(lines)
    value = reader.block(lines[0].indent, 0)
    if reader.at < len(lines):
        raise Odd("its indentation is not understood")
    return value


def _lines(text: str) -> Iterator[Line]:
    begun = False
    for raw in text.splitlines():
        said = _without_comment(raw.expandtabs(8)).rstrip()
        bare = said.lstrip()
        if not bare or said.startswith("%"):
            continue
        if said.startswith("---") or said.startswith("..."):
            if begun:
                return
            continue
        begun = True
        yield Line(len(said) - len(bare), bare)


def _without_comment(line: str) -> str:
    if "#" not in line:
        return line
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote and line[place - 1] != "\\" else quote
        elif letter in "'\"" and (place == 0 or line[place - 1] in " [{,:"):
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1] == " "):
            return line[:place]
    return line


class _Reader:
    """Reads blocks by their indentation."""

    def __init__(self, lines: List[Line]) -> None:
        self.lines = lines
        self.at = 0
        self.anchors: Dict[str, Any] = {}

    def block(self, indent: int, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise Odd("it is nested too deeply")
        if _is_item(self.lines[self.at].text):
            return self._items(indent, depth)
        return self._mapping(indent, depth)

    def _items(self, indent: int, depth: int) -> List[Any]:
        found: List[Any] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.indent != indent or not _is_item(line.text):
                break
            rest = line.text[1:].lstrip()
            inner = indent + len(line.text) - len(rest)
            if rest and (_is_item(rest) or _key(rest) is not None) and rest[0] not in "[{&":
                # The item is a block of its own that begins on this line.
                self.lines[self.at] = Line(inner, rest)
                found.append(self.block(inner, depth + 1))
            else:
                self.at += 1
                found.append(self._value(rest, indent, depth, is_item=True))
        return found

    def _mapping(self, indent: int, depth: int) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.indent != indent or _is_item(line.text):
                break
            said = _key(line.text)
            if said is None:
                raise Odd("a line is not understood")
            self.at += 1
            key, value = _scalar(said[0]), self._value(said[1], indent, depth, is_item=False)
            if key == "<<":
                for one in _list(value):
                    found = {**(one if isinstance(one, dict) else {}), **found}
            else:
                found[str(key)] = value
        return found

    def _value(self, rest: str, indent: int, depth: int, *, is_item: bool) -> Any:
        """What stands after a key or a dash, on its line or below it."""
        if depth > _MOST_DEPTH:
            raise Odd("it is nested too deeply")
        mark = _MARK.match(rest)
        if mark is not None:
            if mark.group(1) == "*":
                return self.anchors.get(mark.group(2))
            value = self._value(mark.group(3), indent, depth + 1, is_item=is_item)
            if mark.group(1) == "&":
                self.anchors[mark.group(2)] = value
            return value
        if rest[:1] in "|>" and rest:
            self._skip(indent)
            return None
        if rest[:1] in "[{" and rest:
            return self._flow(rest)
        if rest:
            self._skip(indent)  # a plain word that goes on in the next lines
            return _scalar(rest)
        if self.at >= len(self.lines):
            return None
        following = self.lines[self.at]
        # A list may stand as far to the left as its key.
        if following.indent > indent or (not is_item and following.indent == indent and _is_item(following.text)):
            return self.block(following.indent, depth + 1)
        return None

    def _skip(self, indent: int) -> None:
        while self.at < len(self.lines) and self.lines[self.at].indent > indent:
            self.at += 1

    def _flow(self, rest: str) -> Any:
        text, first = rest, self.at
        while True:
            try:
                value, end = _flow(text, 0, 0)
            except IndexError:
                if self.at >= len(self.lines) or self.at - first > _MOST_FLOWING:
                    raise Odd("a bracket is not closed") from None
                text += " " + self.lines[self.at].text
                self.at += 1
                continue
            if text[end:].strip():
                raise Odd("something follows a bracket")
            return value


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith("- ")


def _key(text: str) -> Optional[Tuple[str, str]]:
    """The key of a line, as it is written, and what stands behind its colon; None for a line without one.

    By hand, in one go: a file of somebody's container must not cost more than its length.
    """
    head = text[:_MOST_KEY]
    if head[:1] in ("'", '"'):
        end = _end_of_quotes(head)
        rest = text[end:].lstrip() if end else ""
        return (text[:end], rest[1:].lstrip()) if rest == ":" or (rest[:1] == ":" and rest[1].isspace()) else None
    if not head or head[0] in _NO_KEY or (head[0] == "-" and (head[1:2].isspace() or head[1:2] in ("", "#"))):
        return None
    remark = head.find("#")
    at = head.find(":", 2 if head[0] == "-" else 1)
    while at > 0 and (remark < 0 or at < remark):
        if at + 1 == len(text) or text[at + 1].isspace():
            return text[:at].rstrip(), text[at + 1 :].lstrip()
        at = head.find(":", at + 1)
    return None


def _end_of_quotes(text: str) -> int:
    """Behind the word in quotes that a text begins with; 0 when they are not closed."""
    quote, at = text[0], 1
    while at < len(text):
        if text[at] == "\\" and quote == '"':
            at += 2
        elif text[at] == quote and quote == "'" and text[at + 1 : at + 2] == quote:
            at += 2
        elif text[at] == quote:
            return at + 1
        else:
            at += 1
    return 0


def _scalar(word: str) -> Optional[str]:
    word = word.strip()
    if len(word) > 1 and word[0] == word[-1] == "'":
        return word[1:-1].replace("''", "'")
    if len(word) > 1 and word[0] == word[-1] == '"':
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    return None if word in ("", "~", "null") else word


def _flow(text: str, at: int, depth: int) -> Tuple[Any, int]:
    """One value in brackets from `at` on, and where it ends. IndexError: more is needed."""
    if depth > _MOST_DEPTH:
        raise Odd("it is nested too deeply")
    at = _blank(text, at)
    if text[at] == "[":
        return _flow_list(text, at + 1, depth)
    if text[at] == "{":
        return _flow_table(text, at + 1, depth)
    if text[at] in "'\"":
        end = at + 1
        while text[end] != text[at]:
            end += 2 if text[end] == "\\" and text[at] == '"' else 1
        return _scalar(text[at : end + 1]), end + 1
    end = at
    while text[end] not in ",]}" and not (text[end] == ":" and text[end + 1] in " ,]}"):
        end += 1
    return _scalar(text[at:end]), end


def _flow_list(text: str, at: int, depth: int) -> Tuple[List[Any], int]:
    found: List[Any] = []
    while True:
        at = _blank(text, at)
        if text[at] == "]":
            return found, at + 1
        value, at = _flow(text, at, depth + 1)
        found.append(value)
        at = _blank(text, at)
        if text[at] == ",":
            at += 1
        elif text[at] != "]":
            raise Odd("a list is not understood")


def _flow_table(text: str, at: int, depth: int) -> Tuple[Dict[str, Any], int]:
    found: Dict[str, Any] = {}
    while True:
        at = _blank(text, at)
        if text[at] == "}":
            return found, at + 1
        key, at = _flow(text, at, depth + 1)
        at = _blank(text, at)
        value: Any = None
        if text[at] == ":":
            value, at = _flow(text, at + 1, depth + 1)
            at = _blank(text, at)
        found[str(key)] = value
        if text[at] == ",":
            at += 1
        elif text[at] != "}":
            raise Odd("a table is not understood")


def _blank(text: str, at: int) -> int:
    while text[at] == " ":
        at += 1
    return at
