"""Which sessions a page lists."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from django.db.models import Q

from recovery.engines.base import Product
from recovery.models import Session, SessionQuerySet

State = Session.State
ENDS = (State.STOPPED, State.FAILED)


@dataclass(frozen=True)
class Filters:
    """What a person asked to see. A word that means nothing filters nothing."""

    text: str = ""
    product: str = ""
    end: str = ""
    server: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """From the query of an address."""
        product, end = query.get("product", ""), query.get("end", "")
        try:
            server = str(uuid.UUID(query.get("server", "")))
        except ValueError:
            server = ""
        return cls(
            text=query.get("q", "").strip()[:200].replace("\0", ""),
            product=product if product in {str(one) for one in Product} else "",
            end=end if end in ENDS else "",
            server=server,
        )

    @property
    def is_active(self) -> bool:
        """Does anything narrow the list?"""
        return bool(self.text or self.product or self.end or self.server)


def rows() -> SessionQuerySet:
    """With what their rows show; drafts are nobody's business."""
    return Session.objects.exclude(state=State.DRAFT).select_related("archive", "server", "requested_by")


def ended(filters: Filters) -> SessionQuerySet:
    """Those that are over, the newest first."""
    found = rows().filter(state__in=[filters.end] if filters.end else ENDS)
    if filters.product:
        found = found.filter(product=filters.product)
    if filters.server:
        found = found.filter(server_id=uuid.UUID(filters.server))
    if filters.text:
        found = found.filter(Q(archive_name__icontains=filters.text) | Q(server_name__icontains=filters.text))
    return found
