"""Words of this app for templates."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext_lazy as _

register = template.Library()

FINDINGS = {
    "changed": _("Changed while it was read"),
    "vanished": _("Vanished while it was read"),
    "unreadable": _("Could not be read"),
    "missing_source": _("Was not there"),
    "mount_skipped": _("Another filesystem, left out"),
    "never_matched": _("Was not found"),
    "hook_after": _("The hook after the backup failed"),
    "late": _("Something broke after the archive was complete"),
    "overlap": _("The run before was still going on"),
    "other": _("Borg warned"),
}


@register.filter
def finding_kind(kind: str) -> str:
    """The words for a kind of finding; an unknown one is shown as it is."""
    return str(FINDINGS.get(kind, kind))


LINKS = {
    "local": _("On this machine"),
    "tunnel": _("Through the tunnel"),
    "direct": _("Directly, with the server's own key"),
}


@register.filter
def link_words(link: str) -> str:
    """How the data travelled."""
    return str(LINKS.get(link, link or ""))
