"""Small pieces of HTML that mean the same everywhere: pages, admin columns, live fragments."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.templatetags.static import static
from django.utils import formats, timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from phpborg.tasks.states import State
from phpborg.ui import format as words

# Day, month as a word, year, 24 hours: short, and read alike on both sides of an ocean.
MOMENTS = {"fr": "j N Y, H:i", "en": "j M Y, H:i"}
TONES = ("neutral", "info", "good", "warn", "bad")
TONE_ICONS = {"neutral": "info", "info": "info", "good": "check", "warn": "warning", "bad": "cross"}


def icon(name: str, label: str = "", size: str = "", extra: str = "") -> SafeString:
    """A symbol of static/icons.svg; with a label it speaks, without one it is decoration."""
    classes = " ".join(filter(None, ("icon", f"icon--{size}" if size else "", extra)))
    address = f"{static('icons.svg')}#{name}"
    if label:
        return format_html(
            '<svg class="{}" role="img" aria-label="{}"><use href="{}"></use></svg>', classes, label, address
        )
    return format_html(
        '<svg class="{}" aria-hidden="true" focusable="false"><use href="{}"></use></svg>', classes, address
    )


def badge(label: str, tone: str = "neutral", icon_name: str = "", plain: bool = False) -> SafeString:
    """A state in a word, an icon and a colour; never the colour alone."""
    tone = tone if tone in TONES else "neutral"
    return format_html(
        '<span class="badge tone-{}{}">{}<span>{}</span></span>',
        tone,
        " badge--plain" if plain else "",
        icon(icon_name or TONE_ICONS[tone]),
        label,
    )


def state(value: str, plain: bool = False) -> SafeString:
    """The badge of a task's state."""
    try:
        known = State(value)
    except ValueError:
        return badge(str(value), "neutral", "question", plain)
    if known is State.RUNNING:
        turning = icon("spinner", extra="icon--spin")
        plainly = " badge--plain" if plain else ""
        return format_html(
            '<span class="badge tone-{}{}">{}<span>{}</span></span>', known.tone, plainly, turning, known.label
        )
    return badge(str(known.label), known.tone, known.icon, plain)


def unknown(why: str = "") -> SafeString:
    """A value that nobody knows yet: a dash that says so."""
    reason = why or _("Not known yet")
    return format_html(
        '<span class="unknown" title="{}"><span aria-hidden="true">—</span>'
        '<span class="visually-hidden">{}</span></span>',
        reason,
        reason,
    )


def _moment(value: Any) -> datetime | None:
    moment = parse_datetime(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        return None
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def when(value: Any, relative: bool = False) -> SafeString:
    """A moment as a <time>, in the reader's zone; `relative` lets the browser say “5 minutes ago”."""
    moment = _moment(value)
    if moment is None:
        return unknown(_("Never"))
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" {}>{}</time>',
        moment.isoformat(timespec="seconds"),
        "data-relative" if relative else "",
        formats.date_format(local, MOMENTS.get(get_language() or "", MOMENTS["en"])),
    )


def ago(value: Any) -> SafeString:
    """`when` with the relative words."""
    return when(value, relative=True)


def bar(share: Any, label: str, tone: str = "") -> SafeString:
    """A progress bar; a share of None moves without saying how far."""
    css = f"tone-{tone}" if tone in TONES else ""
    if share is None or share == "":
        return format_html('<progress class="{}" aria-label="{}"></progress>', css, label)
    part = min(max(float(share), 0), 1)
    return format_html(
        '<progress class="{}" max="100" value="{}" aria-label="{}">{}</progress>',
        css,
        f"{part * 100:.1f}",
        label,
        words.percent(part),
    )


def usage_tone(share: float, warn: float = 0.8, bad: float = 0.92) -> str:
    """The tone of a disk that is so full."""
    return "bad" if share >= bad else "warn" if share >= warn else "good"


def usage(used: Any, total: Any, label: str, warn: float = 0.8) -> SafeString:
    """How full something is: a bar and “used of total”."""
    if used is None or not total:
        return unknown()
    share = float(used) / float(total)
    sizes = _("{used} of {total}").format(used=words.byte_size(float(used)), total=words.byte_size(float(total)))
    return format_html(
        '<span class="meter">{}<span class="small">{}</span></span>', bar(share, label, usage_tone(share, warn)), sizes
    )


def ring(share: Any, label: str, tone: str = "info") -> SafeString:
    """A small ring with its percentage inside."""
    if share is None or share == "":
        return unknown()
    part = min(max(float(share), 0), 1) * 100
    return format_html(
        '<svg class="ring tone-{}" viewBox="0 0 44 44" role="img" aria-label="{}: {}">'
        '<circle class="ring__track" cx="22" cy="22" r="19"></circle>'
        '<circle class="ring__value" cx="22" cy="22" r="19" pathLength="100" stroke-dasharray="{} 100" '
        'transform="rotate(-90 22 22)"></circle>'
        '<text class="ring__text" x="22" y="22">{}</text></svg>',
        tone if tone in TONES else "info",
        label,
        words.percent(float(share)),
        f"{part:.1f}",
        words.percent(float(share)),
    )


def _pieces(points: list[float | None]) -> list[list[str]]:
    """The points of a sparkline in a box of 100 × 30, one list for each stretch without a gap."""
    known = [value for value in points if value is not None]
    low = min(0.0, *known)
    span, step = (max(known) - low) or 1.0, 100 / (len(points) - 1)
    pieces: list[list[str]] = [[]]
    for index, value in enumerate(points):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{index * step:.2f},{29 - (value - low) / span * 27:.2f}")
    return [piece for piece in pieces if len(piece) > 1]


def sparkline(values: Iterable[float | None], label: str, tone: str = "info") -> SafeString:
    """A line of numbers without axes; gaps stay gaps. The label says what it means."""
    points = list(values)
    if sum(value is not None for value in points) < 2:
        return unknown()
    drawn = []
    for piece in _pieces(points):
        line = " ".join(piece)
        ground = f"{piece[0].split(',')[0]},30 {line} {piece[-1].split(',')[0]},30"
        drawn.append((ground, line))
    return format_html(
        '<svg class="spark tone-{}" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label="{}">'
        "{}</svg>",
        tone if tone in TONES else "info",
        label,
        format_html_join(
            "",
            '<polygon class="spark__area" points="{}"></polygon><polyline class="spark__line" points="{}"></polyline>',
            drawn,
        ),
    )
