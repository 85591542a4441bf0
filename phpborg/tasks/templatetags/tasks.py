"""Tags of the task pages. They read snapshots (plain data): no query is ever made here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext

from phpborg.errors import describe
from phpborg.tasks import findings, registry
from phpborg.tasks.states import ACTIVE, State, StepState, Trigger

register = template.Library()


class _Blanks(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "…"


def translated(text: str, facts: Mapping[str, Any] | None = None) -> str:
    """A text that a task stored in English, in the reader's language, its placeholders filled."""
    if not text:
        return ""
    words = gettext(text)
    return words.format_map(_Blanks(facts)) if facts else words


@register.filter
def step_rows(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps of a snapshot as `{% steps %}` shows them: what happened, and the remedy."""
    rows = []
    for step in steps:
        error, facts = step.get("error") or {}, step.get("facts") or {}
        words = describe(error["code"], error.get("facts")) if error else None
        told = [words.title if words else "", translated(step.get("detail", ""))]
        rows.append(
            {
                "name": translated(step.get("title", ""), facts),
                "state": step.get("state", StepState.PENDING),
                "text": " ".join(filter(None, told)),
                "remedy": words.advice if words else translated(step.get("advice", ""), facts),
                "seconds": step.get("seconds"),
                "commands": step.get("commands", ""),  # for an administrator, where we may not act ourselves
            }
        )
    return rows


@register.filter
def is_active(task: Mapping[str, Any]) -> bool:
    """Does this snapshot wait or run?"""
    return task["state"] in ACTIVE


@register.filter
def is_running(task: Mapping[str, Any]) -> bool:
    """Does this snapshot run?"""
    return bool(task["state"] == State.RUNNING)


@register.filter
def is_retryable(task: Mapping[str, Any]) -> bool:
    """May this ended task be queued again? A success is not retried, it is run again from its own page."""
    return task["state"] not in (*ACTIVE, State.SUCCESS, State.NOTES) and registry.is_retryable(str(task["kind"]))


@register.filter
def stays(task: Mapping[str, Any]) -> bool:
    """Does it live until it is stopped, with a page of its own for what it keeps alive?"""
    return bool(registry.page_of(str(task["kind"])))


@register.filter
def page_of(task: Mapping[str, Any]) -> str:
    """Where a person finds what this task is about: what it keeps alive, or the task itself."""
    return reverse(registry.page_of(str(task["kind"])) or "task", args=[task["id"]])


@register.filter
def moment(text: str | None) -> datetime | None:
    """A time that a snapshot carries as text."""
    return parse_datetime(text) if text else None


@register.filter
def part(progress: Mapping[str, Any]) -> float | None:
    """How far it is (0…1); None when nobody knows: nothing is invented."""
    if progress.get("share") is not None:
        return float(progress["share"])
    if progress.get("percent") is not None:
        return float(progress["percent"]) / 100
    if progress.get("items_total"):
        return float(progress.get("items_done") or 0) / float(progress["items_total"])
    return None


@register.filter
def is_short_of_space(progress: Mapping[str, Any]) -> bool:
    """Is less free than a tenth of the disk, or than what was written beside the archive so far? Unknown is no."""
    free, disk, upper = (progress.get(name) for name in ("free_bytes", "disk_bytes", "upper_bytes"))
    return free is not None and (free * 10 < (disk or 0) or free < (upper or 0))


@register.filter
def elapsed(task: Mapping[str, Any]) -> float | None:
    """Seconds from the start to the end, or to now."""
    started = parse_datetime(task["started_at"]) if task["started_at"] else None
    if started is None:
        return None
    finished = parse_datetime(task["finished_at"]) if task["finished_at"] else None
    return max(0.0, ((finished or timezone.now()) - started).total_seconds())


@register.filter
def waited(task: Mapping[str, Any]) -> float | None:
    """Seconds from the creation to the start, or to now (or to the end of one that never started)."""
    created = parse_datetime(task["created_at"])
    until = next((parse_datetime(task[name]) for name in ("started_at", "finished_at") if task[name]), None)
    return None if created is None else max(0.0, ((until or timezone.now()) - created).total_seconds())


@register.filter
def trigger_words(value: str) -> str:
    """By hand, by schedule …"""
    return str(Trigger(value).label) if value in Trigger.values else value


@register.filter
def error_title(task: Mapping[str, Any]) -> str:
    """What went wrong, in one sentence; empty when nothing did."""
    return describe(task["error_code"], task["error_facts"]).title if task["error_code"] else ""


@register.filter
def finding_kind(kind: str) -> str:
    """The word for a kind of finding."""
    return findings.words(kind)


@register.filter
def finding_message(message: str) -> str:
    """What was found, in the reader's language when it is a sentence of ours."""
    return translated(message)


@register.simple_tag(takes_context=True)
def filter_link(context: template.Context, **changes: str) -> str:
    """This list's address with filters changed; an empty one goes, and the first page is shown."""
    query: Any = context["request"].GET.copy()
    query.pop("page", None)
    for name, value in changes.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return f"?{query.urlencode()}"
