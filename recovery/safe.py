"""Which content may be shown in the page: plain text, and four kinds of picture known by their first bytes."""

from __future__ import annotations

PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
TEXT_BYTES = 200_000
PICTURE_BYTES = 20_000_000


def picture_type(head: bytes) -> str | None:
    """The type of a raster picture, or None. SVG is a program and never shown."""
    for magic, kind in PICTURES:
        if head.startswith(magic):
            return kind
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def text_of(head: bytes) -> str | None:
    """The beginning of a text file, or None when it is not text."""
    if b"\0" in head:
        return None
    text = head.decode("utf-8", "replace")
    odd = sum(1 for letter in text if letter == "\ufffd" or (ord(letter) < 32 and letter not in "\t\n\r\f\x1b"))
    return text if odd <= max(len(text) // 20, 1) else None
