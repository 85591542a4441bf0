"""What a drill has seen, in the reader's language."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.translation import gettext

register = template.Library()


@register.filter
def drill_words(row: dict[str, Any]) -> str:
    """A sentence of the evidence with its facts, some of which are words themselves."""
    facts = {key: gettext(str(value)) if key == "kind" else value for key, value in (row.get("facts") or {}).items()}
    words = str(row.get("words") or "")
    return gettext(words).format_map(facts) if words else ""


@register.filter
def drill_lines(lines: list[Any]) -> str:
    """What a container wrote, as it wrote it."""
    return "\n".join(map(str, lines))
