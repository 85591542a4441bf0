"""Tags of the page of a server's capabilities."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from phpborg.ui import html
from servers.capabilities import cards, sayings
from servers.capabilities.databases import Directory

register = template.Library()
register.filter(cards.found_how)
register.filter("said", sayings.shown)
register.simple_tag(cards.more)


@register.simple_tag
def and_more(rows: Sized | None, shown: int) -> str:
    """“and 7 more” after a list of which only the first `shown` are there; nothing when that was all."""
    return cards.more(len(rows or ()) - shown)


@register.simple_tag
def sureness(directory: Directory) -> SafeString:
    """The badge of how sure a data directory is."""
    found = cards.how_sure(directory)
    return html.unknown() if found is None else html.badge(*found)


@register.simple_tag
def yes_no(value: Any) -> SafeString:
    """Yes, no, or the dash of what is not known."""
    if value is None:
        return html.unknown()
    return format_html("{}", _("Yes") if value else _("No"))
