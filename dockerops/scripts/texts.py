"""Texts of a stored plan; pure, for any Python from 3.6 on: the script of a restore carries this file."""

from typing import Any
from urllib.parse import unquote_to_bytes

# Begins a text that no database would take: its bytes follow percent-encoded (see dockerops/typed.py).
MARK = "\ufffd%:"


def restored(value: Any) -> Any:
    """JSON of a stored plan with its real texts."""
    if isinstance(value, str):
        return _restored_text(value)
    if isinstance(value, dict):
        return {restored(key): restored(one) for key, one in value.items()}
    if isinstance(value, list):
        return [restored(one) for one in value]
    return value


def _restored_text(text: str) -> str:
    if not text.startswith(MARK):
        return text
    return unquote_to_bytes(text[len(MARK) :]).decode("utf-8", "surrogateescape")
