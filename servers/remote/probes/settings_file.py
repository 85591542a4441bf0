"""Reads the configuration files of servers as far as paths and ports are concerned: the plain part of YAML, and ini.

The result is flat: {"path.data": ["/a", "/b"], "net.port": "27017"}. What is no plain value (an anchor, a tag,
text over several lines) is left out rather than guessed.
"""

import re
from typing import Dict, List, Optional, Tuple, Union

Value = Union[str, List[str]]
_KEY = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([^\s:#'"\[\]{}&*!|>%@`,-][^:#]*?))\s*:(?:\s+(.*)|)$""")


def yaml(text: str) -> Dict[str, Value]:
    """The values of a YAML file by their dotted names; "a.b: c" is the same as "a:" with "b: c" below it."""
    found: Dict[str, Value] = {}
    above: List[Tuple[int, str]] = []
    for line in text.splitlines():
        plain = _without_comment(line).rstrip()
        content = plain.lstrip(" ")
        indent = len(plain) - len(content)
        if not content or content in ("---", "..."):
            continue
        if content == "-" or content.startswith("- "):
            # A list may stand below its name at the same depth.
            while above and above[-1][0] > indent:
                above.pop()
            item = _scalar(content[1:].strip())
            if above and item is not None:
                known = found.setdefault(_dotted(above), [])
                if isinstance(known, list):
                    known.append(item)
            continue
        while above and above[-1][0] >= indent:
            above.pop()
        match = _KEY.match(content)
        if match is None:
            continue
        name = match.group(1) or match.group(2) or (match.group(3) or "").strip()
        above.append((indent, name))
        value = _value((match.group(4) or "").strip())
        if value is not None:
            found[_dotted(above)] = value
    return found


def _dotted(above: List[Tuple[int, str]]) -> str:
    return ".".join(name for _, name in above)


def _without_comment(line: str) -> str:
    """A comment begins with # at the beginning or after a blank, outside of quotation marks."""
    quote = ""
    for index, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and (index == 0 or line[index - 1] in " [,:-"):
            quote = character
        elif character == "#" and (index == 0 or line[index - 1] in " \t"):
            return line[:index]
    return line


def _value(text: str) -> Optional[Value]:
    if text.startswith("[") and text.endswith("]"):
        items = re.findall(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]+)\s*(?:,|$)""", text[1:-1])
        return [item for item in map(_scalar, (item.strip() for item in items)) if item is not None]
    return _scalar(text)


def _scalar(text: str) -> Optional[str]:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return None if not text or text[0] in "&*!|>{[%@`\"'" else text


def ini(text: str) -> Dict[str, Value]:
    """`name = value` of a file without sections that matter, as MongoDB's before 2.6."""
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line and line.strip()[:1] not in ("#", ";")]
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def text_of(settings: Dict[str, Value], *names: str) -> Optional[str]:
    """The first of the names that has a single value."""
    values = [settings[name] for name in names if name in settings]
    return next((value for value in values if isinstance(value, str)), None)


def texts_of(settings: Dict[str, Value], name: str) -> List[str]:
    """A value that may be one, a list, or several with commas."""
    value = settings.get(name, [])
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
