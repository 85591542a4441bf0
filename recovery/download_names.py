"""File names in HTTP headers."""

from urllib.parse import quote

from recovery.paths import shown


def disposition(name: bytes) -> str:
    """`Content-Disposition` for a download; the name survives as UTF-8 (RFC 6266) and cannot end the header."""
    plain = shown(name)
    ascii_name = "".join(letter if " " <= letter < "\x7f" and letter not in '"\\' else "_" for letter in plain)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(plain)}"
