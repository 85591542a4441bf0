"""Words of this app for templates."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from backups.services.docker_offers import ENGINES
from backups.sources.base import Consistency
from backups.sources.docker_config import WAYS
from backups.sources.docker_words import KINDS, reason_words
from servers.capabilities import sayings

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
    "live_database": _("Files of a database server, copied while they change"),
    "databases_unknown": _("Whether database servers run is not known"),
    "directory_guessed": _("Where the data lies is a guess"),
    "report_cut": _("The server told more than is kept"),
    "login_unproven": _("The login was not tried yet"),
    "not_transactional": _("Tables that may change while they are dumped"),
    "overlap": _("The run before was still going on"),
    "docker_volume_unread": _("This volume was not read"),
    "docker_volume_empty": _("This volume is used and empty"),
    "docker_project_directory": _("This project's directory was not read as a whole"),
    "docker_left_out": _("Was not read"),
    "docker_swarm": _("A task of a Swarm: it was left running"),
    "docker_not_running": _("It did not run, so it was not dumped"),
    "docker_dump_failed": _("The database in this container was not dumped"),
    "docker_not_still": _("Was not kept still"),
    "docker_shared": _("Containers outside of this job went on writing to this volume"),
    "docker_unclear": _("Its Compose files are not understood in all"),
    "docker_changed": _("It did not keep still during the backup"),
    "docker": _("While Docker was written down"),
    "other": _("Borg warned"),
}


@register.filter
def finding_kind(kind: str) -> str:
    """The words for a kind of finding; an unknown one is shown as it is."""
    return str(FINDINGS.get(kind, kind))


@register.filter
def finding_message(text: str) -> str:
    """What is told of a finding, in the reader's language where it is a sentence of ours."""
    words = reason_words(text)
    return words if words != text else sayings.shown(text)


@register.filter
def left_out_kind(kind: str) -> str:
    """What was left out, of an engine."""
    return str(KINDS.get(kind, kind))


@register.filter
def way_words(way: str) -> str:
    """How a container is kept still."""
    return str(WAYS[way][0]) if way in WAYS else way


@register.filter
def way_done(way: str) -> str:
    """How a container was kept still."""
    return {"pause": gettext("paused"), "stop": gettext("stopped")}.get(way, way)


@register.filter
def database_engine(engine: str) -> str:
    """The product's name."""
    return ENGINES.get(engine, engine)


CONSISTENCY = {
    Consistency.PHYSICAL: _("One consistent state of all files (physical-consistent)."),
    Consistency.CRASH: _("One moment, as after a power cut; the server recovers from it by itself (crash-consistent)."),
    Consistency.LOGICAL: _("Statements that make it anew, also in another version (logical)."),
    Consistency.NONE: _("Files of different moments: not consistent."),
}


@register.filter
def consistency_words(consistency: str) -> str:
    """What an archive of this consistency is."""
    return str(CONSISTENCY.get(Consistency(consistency), consistency))


LINKS = {
    "local": _("On this machine"),
    "tunnel": _("Through the tunnel"),
    "direct": _("Directly, with the server's own key"),
}


@register.filter
def link_words(link: str) -> str:
    """How the data travelled."""
    return str(LINKS.get(link, link or ""))
