"""Tags of the servers' pages."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString

from phpborg.ui import html
from servers.services.health import Health

register = template.Library()


@register.simple_tag
def health(value: str) -> SafeString:
    """The badge of a server's health."""
    try:
        known = Health(value)
    except ValueError:
        return html.badge(str(value), "neutral", "question")
    return html.badge(str(known.label), known.tone, known.icon)


@register.simple_tag(takes_context=True)
def filter_link(context: template.Context, **changes: str) -> str:
    """This list's address with one filter changed; empty takes it away, and the page starts again."""
    query: Any = context["request"].GET.copy()
    query.pop("page", None)
    for name, value in changes.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return f"?{query.urlencode()}"
