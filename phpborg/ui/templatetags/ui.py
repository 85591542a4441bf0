"""The design system's template tags: see docs/interface.md for every one with an example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import template
from django.core.paginator import Page
from django.forms import BoundField
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from phpborg.errors import describe
from phpborg.tasks.states import StepState
from phpborg.ui import format as words
from phpborg.ui import html
from phpborg.ui.html import TONE_ICONS, TONES, icon, unknown

register = template.Library()

for piece in (
    icon,
    html.badge,
    html.state,
    unknown,
    html.when,
    html.ago,
    html.bar,
    html.usage,
    html.ring,
    html.sparkline,
):
    register.simple_tag(piece)

STEP_ICONS = {
    StepState.PENDING: "clock",
    StepState.RUNNING: "spinner",
    StepState.DONE: "check",
    StepState.SKIPPED: "minus",
    StepState.WARNING: "warning",
    StepState.FAILED: "cross",
}


def _measured(value: Any, render: Any) -> str:
    if value is None or value == "":
        return unknown()
    try:
        text = render(float(value))
    except (TypeError, ValueError):
        return unknown()
    return unknown() if text is None else str(text)


@register.filter(name="bytes", is_safe=True)
def bytes_filter(value: Any) -> str:
    """Bytes in words (decimal units); None is a dash."""
    return _measured(value, words.byte_size)


@register.filter(is_safe=True)
def bitrate(value: Any) -> str:
    """Bytes per second as bits per second; None is a dash."""
    return _measured(value, words.bit_rate)


@register.filter(is_safe=True)
def duration(value: Any) -> str:
    """Seconds in words; None is a dash."""
    return _measured(value, words.duration)


@register.filter(is_safe=True)
def percent(value: Any) -> str:
    """A share (0…1) in percent; None is a dash."""
    return _measured(value, words.percent)


@register.filter(is_safe=True)
def count(value: Any) -> str:
    """A whole number with the language's separators; None is a dash."""
    return _measured(value, words.number)


@register.simple_tag
def ratio(bigger: Any, smaller: Any) -> str:
    """How many times smaller the second is: 2.4×."""
    if bigger is None or smaller is None:
        return unknown()
    return _measured(smaller, lambda small: words.ratio(float(bigger), small))


@register.filter
def or_unknown(value: Any) -> Any:
    """The value, or the dash that says “not known”."""
    return unknown() if value is None or value == "" else value


@register.inclusion_tag("components/_steps.html")
def steps(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The steps of a task: each with name, state, text, remedy and seconds."""
    prepared = []
    for number, row in enumerate(rows, 1):
        known = StepState(row.get("state", "pending"))
        extra = {"label": known.label, "icon": STEP_ICONS[known], "ident": f"step-commands-{number}"}
        prepared.append({**row, "state": known.value, **extra})
    return {"steps": prepared}


@register.inclusion_tag("components/_wizard.html")
def wizard(rows: Iterable[Mapping[str, Any]], current: str) -> dict[str, Any]:
    """The stations of a wizard: rows with key, label and, when they can be opened, url."""
    prepared, is_before = [], True
    for row in rows:
        is_current = row["key"] == current
        is_before = is_before and not is_current
        done = bool(row.get("done", is_before)) and not is_current
        prepared.append({**row, "is_current": is_current, "is_done": done})
    position = next((index for index, row in enumerate(prepared, 1) if row["is_current"]), 1)
    return {"steps": prepared, "position": position, "total": len(prepared)}


@register.inclusion_tag("components/_error.html")
def error_panel(
    code: str, facts: Mapping[str, Any] | None = None, detail: str = "", heading: str = "h2"
) -> dict[str, Any]:
    """An expected error in the reader's language: what happened, what to do, the tool's own words."""
    return {"error": describe(code, facts), "detail": detail, "heading": heading}


@register.inclusion_tag("components/_field.html")
def field(bound: BoundField, kind: str = "") -> dict[str, Any]:
    """One form field with label, help and errors tied to it. `kind`: mono."""
    widget = bound.field.widget
    is_check = getattr(widget, "input_type", "") == "checkbox" and not bound.use_fieldset
    return {
        "field": bound,
        "kind": kind,
        "is_check": is_check,
        "help_id": f"{bound.auto_id}_helptext",
        "error_id": f"{bound.auto_id}_error",
    }


@register.filter
def phase(name: str) -> str:
    """The words of a task's phase."""
    from phpborg.tasks import phases

    return phases.words(name) if name else ""


@register.filter
def task_kind(name: str) -> str:
    """The words of a task's kind."""
    from phpborg.tasks import registry

    try:
        return str(registry.get(name).label)
    except LookupError:
        return name


@register.simple_tag(takes_context=True)
def taskbar(context: template.Context) -> SafeString:
    """The task bar with the state of this moment; the websocket keeps it right."""
    from phpborg.accounts.rights import Right
    from phpborg.tasks import live

    request = context.get("request")
    if request is None or not request.user.is_authenticated:
        return SafeString("")
    return render_to_string(
        "components/_taskbar.html",
        {**live.taskbar_context(request.user), "oob": False, "may_operate": request.user.may(Right.OPERATE)},
    )


def _words_of_tone(tone: str) -> str:
    return {"good": _("Done"), "warn": _("Attention"), "bad": _("Error"), "info": _("Note")}.get(tone, _("Note"))


MESSAGE_TONES = {"debug": "neutral", "info": "info", "success": "good", "warning": "warn", "error": "bad"}


@register.inclusion_tag("components/_toast.html")
def toast(words: str, tone: str = "info") -> dict[str, Any]:
    """One message; takes a tone or a level name of django.contrib.messages."""
    tone = MESSAGE_TONES.get(tone, tone)
    tone = tone if tone in TONES else "info"
    return {"words": words, "tone": tone, "icon": TONE_ICONS[tone], "says": _words_of_tone(tone)}


@register.inclusion_tag("components/_crumbs.html")
def crumbs(*words_and_addresses: Any) -> dict[str, Any]:
    """The way to this page: label, address, label, address, …, label of this page."""
    given = list(words_and_addresses)
    rows = [{"label": given[at], "url": given[at + 1]} for at in range(0, len(given) - 1, 2)]
    if len(given) % 2:
        rows.append({"label": given[-1], "url": ""})
    return {"crumbs": rows}


@register.simple_tag(takes_context=True)
def page_link(context: template.Context, page: int, name: str = "page") -> str:
    """This address with another page number; every other part of the query stays."""
    query = context["request"].GET.copy()
    query[name] = str(page)
    return f"?{query.urlencode()}"


@register.simple_tag
def page_numbers(page: Page[Any]) -> list[int | None]:
    """The numbers to offer around this page; None is a gap."""
    pages = page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return [number if isinstance(number, int) else None for number in pages]


@register.simple_tag(takes_context=True)
def sort(context: template.Context, name: str, label: str, css: str = "", parameter: str = "sort") -> SafeString:
    """A column's head that sorts by `name`, and the other way round when it already does."""
    query = context["request"].GET.copy()
    now = query.get(parameter, context.get("sort", ""))
    direction = "ascending" if now == name else "descending" if now == f"-{name}" else ""
    query[parameter] = f"-{name}" if now == name else name
    query.pop("page", None)
    arrow = {"ascending": icon("chevron-up"), "descending": icon("chevron-down")}.get(direction, "")
    return format_html(
        '<th scope="col" class="{}"{}><a href="?{}">{}{}</a></th>',
        css,
        format_html(' aria-sort="{}"', direction) if direction else "",
        query.urlencode(),
        label,
        arrow,
    )


# Block tags: their content is already rendered (and escaped) by the template.


@register.simple_block_tag
def panel(content: str, title: str = "", flush: bool = False, level: str = "h2", foot: str = "") -> SafeString:
    """A box with a heading. `flush` lets a table reach the edges."""
    head = format_html('<div class="panel__head"><h2>{}</h2></div>', title) if title and level == "h2" else ""
    if title and level == "h3":
        head = format_html('<div class="panel__head"><h3>{}</h3></div>', title)
    return format_html(
        '<section class="panel">{}<div class="panel__body{}">{}</div>{}</section>',
        head,
        " panel__body--flush" if flush else "",
        content,
        format_html('<div class="panel__foot">{}</div>', foot) if foot else "",
    )


@register.simple_block_tag
def note(content: str, tone: str = "info", title: str = "", icon_name: str = "") -> SafeString:
    """A message inside the page, with a tone."""
    tone = tone if tone in TONES else "info"
    return format_html(
        '<div class="note tone-{}" role="note">{}<div class="note__body">{}{}</div></div>',
        tone,
        icon(icon_name or TONE_ICONS[tone]),
        format_html('<p class="note__title">{}</p>', title) if title else "",
        content,
    )


@register.simple_block_tag
def menu(content: str, label: str, icon_name: str = "", hide_label: bool = False, start: bool = False) -> SafeString:
    """A button that opens a list of links and buttons (class menu__item)."""
    spoken = format_html('<span class="{}">{}</span>', "visually-hidden" if hide_label else "", label)
    return format_html(
        '<details class="menu{}"><summary class="button {}">{}{}{}</summary>'
        '<div class="menu__panel">{}</div></details>',
        " menu--start" if start else "",
        "button--quiet button--icon" if hide_label else "",
        icon(icon_name) if icon_name else "",
        spoken,
        "" if hide_label else icon("chevron-down"),
        content,
    )


@register.simple_block_tag
def code(content: str, ident: str, wrap: bool = False, label: str = "") -> SafeString:
    """Text to copy: a key, a command, a connection string. `ident` is the id of the text."""
    return format_html(
        '<div class="code{}"><pre id="{}" tabindex="0" role="region" aria-label="{}">{}</pre>'
        '<button type="button" class="button button--small" data-copy="#{}" data-copied="{}">{}'
        '<span data-copy-label aria-live="polite">{}</span></button></div>',
        " code--wrap" if wrap else "",
        ident,
        label or _("Text to copy"),
        SafeString(content.strip("\n")),  # rendered by the template, escaped there
        ident,
        _("Copied"),
        icon("copy"),
        _("Copy"),
    )
