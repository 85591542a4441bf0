"""What a filter offers in a list of choices."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

MOST = 100


def named(rows: QuerySet[Any], chosen: object = "") -> list[tuple[str, str]]:
    """(id, name) of all rows while they are few; of many only the chosen one: the search finds the others by name."""
    found = [(str(pk), name) for pk, name in rows.values_list("pk", "name")[: MOST + 1]]
    if len(found) <= MOST:
        return found
    return [(str(pk), name) for pk, name in rows.filter(pk=chosen).values_list("pk", "name")] if chosen else []
