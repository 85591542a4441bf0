"""Drawings of the first page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from phpborg.ui import results
from servers.services.health import Health

register = template.Library()


@register.simple_tag
def result_bars(columns: list[results.Column], label: str) -> SafeString:
    """Stacked bars, one for each hour or day."""
    return results.bars(columns, label)


@register.simple_tag
def bar_ends(columns: list[results.Column]) -> SafeString:
    """What the first and the last bar stand for."""
    return format_html(
        '<p class="bars__ends small muted" aria-hidden="true"><span>{}</span><span>{}</span></p>',
        columns[0].label,
        columns[-1].label,
    )


@register.inclusion_tag("ui/dashboard/_legend.html")
def result_legend(totals: Counter[str]) -> dict[str, Any]:
    """The totals, each with its word, icon and colour."""
    return {"rows": [(state, totals[state]) for state in reversed(results.STACK) if totals[state]]}


@register.simple_tag
def server_tile(server: Any) -> SafeString:
    """One server as a small square that leads to it; its name and health are its words."""
    health = Health(server.health)
    words = f"{server.name}: {health.label}"
    return format_html(
        '<li><a class="tile tone-{}" href="{}" title="{}"><span class="visually-hidden">{}</span></a></li>',
        health.tone,
        reverse("server", args=[server.pk]),
        words,
        words,
    )


@register.simple_tag
def proportions(entries: list[Any]) -> SafeString:
    """One bar, cut in proportion; its numbers stand beside it as words."""
    total = sum(entry.number for entry in entries) or 1
    pieces, left = [], 0.0
    for entry in entries:
        wide = entry.number / total * 100
        pieces.append((entry.tone, f"{left:.3f}", f"{wide:.3f}", f"{entry.label}: {entry.number}"))
        left += wide
    return format_html(
        '<svg class="proportions" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" '
        'focusable="false">{}</svg>',
        format_html_join(
            "",
            '<rect class="bars__piece tone-{}" x="{}" y="0" width="{}" height="6"><title>{}</title></rect>',
            pieces,
        ),
    )
