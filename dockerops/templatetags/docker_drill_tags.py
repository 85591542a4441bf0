"""What a drill has seen, in the reader's language."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.translation import gettext, pgettext_lazy

from dockerops import sentences

register = template.Library()
HEALTH = {
    "healthy": pgettext_lazy("a container", "healthy"),
    "unhealthy": pgettext_lazy("a container", "not healthy"),
    "starting": pgettext_lazy("a container", "not yet known to be healthy"),
}


@register.filter
def drill_words(row: dict[str, Any]) -> str:
    """A sentence of the evidence with its facts, some of which are words themselves."""
    facts = {key: _fact(key, value) for key, value in (row.get("facts") or {}).items()}
    words = str(row.get("words") or "")
    return gettext(words).format_map(facts) if words else ""


def _fact(key: str, value: Any) -> Any:
    if key == "kind":
        return gettext(str(value))
    if key in ("state", "wanted"):
        return sentences.STATES.get(value, value)
    return HEALTH.get(value, value) if key == "health" else value


@register.filter
def drill_health(health: str) -> str:
    """What a health check says."""
    return str(HEALTH.get(health, health))


@register.filter
def drill_lines(lines: list[Any]) -> str:
    """What a container wrote, as it wrote it."""
    return "\n".join(map(str, lines))
