"""A Compose file as YAML whose every word knows its place in the text; nothing is written anew. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

MOST_BYTES = 1 << 18
_MOST_DEPTH = 30
# Of keys merged and words looked at: what names the same thing again and again makes much of few letters.
_MOST_WORK = 1 << 19
_MERGE = "tag:yaml.org,2002:merge"
Pair = tuple[yaml.Node, yaml.Node]


class Odd(Exception):
    """It is no YAML, or none that Compose would take."""


@dataclass(frozen=True)
class Scalar:
    """One word. `start`: where its value stands letter by letter, in letters of the text; None: nowhere so."""

    value: str
    line: int
    start: int | None
    plain: bool


class Document:
    """The one document of a file. Raises Odd."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST_BYTES:
            raise Odd("it is too large")
        self.text = text
        self._is_ascii = text.isascii()
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise Odd(type(error).__name__) from None
        if not isinstance(root, yaml.MappingNode):
            raise Odd("it is no table")
        self.root = root
        self._tables: dict[int, dict[str, Pair]] = {}
        self._work = 0

    def spend(self, work: int) -> None:
        """So much more is looked at. Raises Odd when that is more than a file of people asks for."""
        self._work += work
        if self._work > _MOST_WORK:
            raise Odd("it names the same things too often")

    def byte(self, at: int) -> int:
        """The place of a letter in the file's bytes."""
        return at if self._is_ascii else len(self.text[:at].encode())

    def line(self, node: yaml.Node) -> int:
        """The line of a node, the first being 1."""
        return int(node.start_mark.line) + 1

    def table(self, node: yaml.Node, depth: int = 0) -> dict[str, Pair]:
        """{key: (node of the key, node of the value)} with what is merged into it; {} for anything else.

        Each is made once: a table that is named twice in every one above it would double the work with each.
        """
        if not isinstance(node, yaml.MappingNode):
            return {}
        if id(node) not in self._tables:
            if depth > _MOST_DEPTH:
                raise Odd("it is nested too deeply")
            self._tables[id(node)] = self._table(node, depth)
        return self._tables[id(node)]

    def _table(self, node: yaml.MappingNode, depth: int) -> dict[str, Pair]:
        own: dict[str, Pair] = {}
        merged: dict[str, Pair] = {}
        self.spend(len(node.value))
        for key, value in node.value:
            if key.tag == _MERGE:
                for row in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    table = self.table(row, depth + 1)
                    self.spend(1 + len(table))
                    for name, pair in table.items():
                        merged.setdefault(name, pair)
            elif not isinstance(key, yaml.ScalarNode) or key.value in own:
                raise Odd("a key is none, or stands twice")
            else:
                own[key.value] = (key, value)
        return {**merged, **own}

    def texts(self) -> Iterator[str]:
        """Every word, each once however often it is named again."""
        waiting: list[yaml.Node] = [self.root]
        seen: set[int] = set()
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, yaml.ScalarNode):
                yield str(node.value)
            elif isinstance(node, yaml.MappingNode):
                waiting += [one for pair in node.value for one in pair]
            else:
                waiting += node.value

    def scalar(self, node: yaml.ScalarNode) -> Scalar:
        """The word and where it stands."""
        start, raw = node.start_mark.index, self.text[node.start_mark.index : node.end_mark.index]
        value = str(node.value)
        if node.style is None and raw == value:
            return Scalar(value, self.line(node), start, plain=True)
        if node.style in ("'", '"') and raw == f"{node.style}{value}{node.style}":
            return Scalar(value, self.line(node), start + 1, plain=False)
        return Scalar(value, self.line(node), None, plain=False)

    def list_of(self, key: yaml.Node, node: yaml.SequenceNode) -> tuple[int, str, bool]:
        """(byte, text) of a key and its list up to the last word, and whether that may be replaced as a whole.

        It may not when the list is named elsewhere, or when a comment lies in it, which would be lost.
        """
        start = key.start_mark.index
        end = node.end_mark.index if node.flow_style else _end(node)
        text = self.text[start:end]
        between = self.text[key.end_mark.index : node.start_mark.index]
        follows = node.start_mark.index > start and between.strip() == ":"
        return self.byte(start), text, follows and not any(sign in text for sign in "#&*!")

    def beside(self, table: yaml.MappingNode, key: yaml.Node, value: yaml.Node) -> tuple[int, str]:
        """(byte, what stands before it) of a further key in a table, after one that it has."""
        end = value.end_mark.index
        if table.flow_style:
            return self.byte(end), ", "
        rest = self.text[end:].partition("\n")[0].rstrip("\r")  # a comment stays in its line
        return self.byte(end + len(rest)), "\n" + " " * int(key.start_mark.column)


def _end(node: yaml.Node) -> int:
    """Where the last word of a block ends: the block itself goes on to whatever follows."""
    while isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
        node = node.value[-1] if isinstance(node, yaml.SequenceNode) else node.value[-1][1]
    return int(node.end_mark.index)


def parts_of(text: str) -> list[tuple[int, str]]:
    """(offset, part) between colons, but for those of a variable or of an address in brackets."""
    found, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "{[") - (letter in "}]")
        if letter == ":" and depth == 0:
            found.append((start, text[start:at]))
            start = at + 1
    return [*found, (start, text[start:])]


def port_part(text: str) -> tuple[int, str] | None:
    """(offset, port of the machine) of a short port; None where the engine chooses one."""
    parts = parts_of(text)
    return parts[-2] if len(parts) > 1 and parts[-2][1] else None
