"""Tags of the servers' pages."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString

from phpborg.errors import describe
from phpborg.tasks.states import StepState
from phpborg.ui import html
from phpborg.ui.templatetags.ui import STEP_ICONS
from servers.services.health import Health
from servers.services.setup_steps import title_of

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


@register.inclusion_tag("servers/_setup_steps.html")
def setup_steps(task: dict[str, Any]) -> dict[str, Any]:
    """The steps of an ended set-up: outcome, remedy in the reader's language, commands to copy."""
    rows = []
    for number, step in enumerate(task["steps"]):
        known = StepState(step.get("state", "pending"))
        error = step.get("error") or {}
        words = describe(error["code"], error.get("facts")) if error else None
        rows.append(
            {
                "name": title_of(step),
                "state": known.value,
                "label": known.label,
                "icon": STEP_ICONS[known],
                "text": " ".join(filter(None, (words.title if words else "", step.get("detail", "")))),
                "remedy": words.advice if words else "",
                "commands": step.get("commands", ""),
                "ident": f"commands-{number}",
            }
        )
    return {"steps": rows}
