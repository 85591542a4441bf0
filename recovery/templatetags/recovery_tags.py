"""Small words of the file browser."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.translation import gettext_lazy as _

register = template.Library()
KINDS = {
    "fifo": _("named pipe"),
    "device": _("device"),
    "socket": _("socket"),
    "link": _("link"),
    "unknown": _("cannot be read"),
}


CONSISTENCIES = {
    "clean": _("shut down in order"),
    "prepared": _("a copy by the server's own means, ready to start"),
    "recoverable": _("a copy by the server's own means, with the log that makes it whole"),
    "crash": _("of one moment: as after a power cut"),
    "doubtful": _("copied while the server ran: it may not start"),
    "broken": _("something that a start needs is missing"),
    "unknown": _("not known"),
}


@register.filter
def consistency(word: str) -> str:
    """What a start can expect of the files."""
    return str(CONSISTENCIES.get(word, word))


@register.filter
def from_timestamp(seconds: float | None) -> datetime | None:
    """An aware moment from Unix seconds; None (and what no calendar holds) stays None."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


@register.filter
def entry_kind(kind: str) -> str:
    """The kind of an entry in words."""
    return str(KINDS.get(kind, kind))
