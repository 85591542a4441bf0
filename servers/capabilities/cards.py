"""What the page of a server's capabilities shows of its databases, in the reader's language. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from phpborg.ui.format import number
from servers.capabilities import sayings
from servers.capabilities.advice import Advice, advise
from servers.capabilities.databases import Database, Directory, Instance
from servers.capabilities.report import Probe, Report

PROBES: dict[str, str | Promise] = {
    "system": gettext_lazy("System"),
    "mounts": gettext_lazy("Filesystems"),
    "lvm": "LVM",
    "btrfs": "btrfs",
    "zfs": "ZFS",
    "postgresql": "PostgreSQL",
    "mysql": "MySQL / MariaDB",
    "mongodb": "MongoDB",
    "elasticsearch": "Elasticsearch / OpenSearch",
    "redis": "Redis",
    "docker": "Docker",
}
SHOWN = 20
FLAVOURS = {"mariadb": "MariaDB", "mysql": "MySQL", "elasticsearch": "Elasticsearch", "opensearch": "OpenSearch"}
LOGINS: dict[str, str | Promise] = {
    "peer": gettext_lazy("as the account itself, through the socket (peer)"),
    "socket": gettext_lazy("as root, through the socket"),
    "debian.cnf": gettext_lazy("with the maintenance account of Debian"),
    "my.cnf": gettext_lazy("with a credentials file"),
    "given": gettext_lazy("with the login that was given"),
    "none": gettext_lazy("without a password"),
}
# What an administrator does so that we get in, by engine.
REMEDIES: dict[str, str | Promise] = {
    "postgresql": gettext_lazy(
        "Let the account “postgres” in through the socket (“local all postgres peer” in pg_hba.conf), or give a login "
        "when you make the job."
    ),
    "mysql": gettext_lazy(
        "Let root in through the socket (unix_socket, auth_socket), or write a user and a password to /root/.my.cnf, "
        "or give a login when you make the job."
    ),
    "mongodb": gettext_lazy("Give a login with the role “backup” when you make the job."),
    "elasticsearch": gettext_lazy("Give a login that may manage snapshots when you make the job."),
    "redis": gettext_lazy("Its files can be saved without a login."),
}
FOUND: dict[str, str | Promise] = {
    "sql": gettext_lazy("the server says so"),
    "process": gettext_lazy("from its command line"),
    "config": gettext_lazy("from its configuration"),
    "common": gettext_lazy("the usual place"),
}
SURE: dict[str, tuple[str | Promise, str]] = {
    "high": (gettext_lazy("Certain"), "good"),
    "medium": (gettext_lazy("Probable"), "info"),
    "low": (gettext_lazy("A guess"), "warn"),
}


@dataclass(frozen=True)
class Card:
    """One database server."""

    key: str  # unique on the page
    engine: str
    instance: Any  # of the engine's own class
    directories: tuple[Directory, ...]
    databases: tuple[Database, ...]
    advice: Advice
    size_bytes: int | None  # of all that a snapshot must hold

    @property
    def title(self) -> str:
        """PostgreSQL 15/main"""
        name = FLAVOURS.get(getattr(self.instance, "flavour", "") or "", str(PROBES[self.engine]))
        return " ".join(filter(None, (name, self.instance.id)))

    @property
    def login_words(self) -> str:
        """How we get in, or why not."""
        login = self.instance.login
        if login.works:
            how = str(LOGINS.get(login.method or "", login.method or "")) or _("Yes")
            return " · ".join(filter(None, (how, login.user, login.file)))
        if self.instance.running is False:
            return _("It is not running, so nobody can sign in.")
        return sayings.shown(login.problem) or _("Not known")

    @property
    def login_remedy(self) -> str:
        """What to do to let us in; empty when we are, or nobody could be."""
        instance = self.instance
        if instance.login.works or instance.running is False or instance.contained:
            return ""
        return str(REMEDIES[self.engine])


def cards(report: Report) -> list[Card]:
    """The database servers of a report, the running ones first; at most SHOWN of them."""
    found = sorted(_instances(report), key=lambda row: row[2].running is False)
    return [_card(report, engine, position, instance) for engine, position, instance in found[:SHOWN]]


def is_complete(report: Report) -> bool:
    """Did every probe for databases answer? Else none found does not mean that there is none."""
    return all((probe := report.probe(name)) is not None and probe.state == "ok" for name in REMEDIES)


def left_out(report: Report) -> int:
    """How many database servers have no card."""
    return max(0, len(list(_instances(report))) - SHOWN)


def unanswered(report: Report) -> list[str]:
    """A sentence for each probe that failed or was late."""
    return [_sentence(name, probe) for name, probe in report.unanswered.items()]


def more(left: int) -> str:
    """“and 7 more” after a list that ends early; nothing when it does not."""
    return ngettext("and {count} more", "and {count} more", left).format(count=number(left)) if left > 0 else ""


def overview(report: Report) -> list[str]:
    """A few lines for a terminal: the system, each database with its sign-in and snapshot, Docker, what is missing."""
    system = report.system
    lines = [" · ".join(filter(None, (system.hostname, system.os.pretty_name, system.kernel)))] if system else []
    for card in cards(report):
        where = ", ".join(directory.path or "?" for directory in card.directories) or "?"
        lines += [
            f"{card.title} {card.instance.version or '?'}: {where}",
            f"  {card.login_words} {card.login_remedy}".rstrip(),
            f"  {card.advice.text}",
        ]
    lines += filter(None, [more(left_out(report))])
    if report.docker and report.docker.installed:
        found = report.docker
        lines.append(
            _("Docker {version}: {projects} projects, {containers} containers, {volumes} volumes").format(
                version=found.version or "?",
                projects=len(found.projects),
                containers=len(found.containers),
                volumes=len(found.volumes),
            )
        )
    return lines + unanswered(report)


def found_how(directory: Directory) -> str:
    """How its data directory was found; empty when nobody says."""
    return str(FOUND.get(directory.method or "", directory.method or ""))


def how_sure(directory: Directory) -> tuple[str, str] | None:
    """(word, tone) of the confidence, None when it is not known."""
    found = SURE.get(directory.confidence or "")
    return None if found is None else (str(found[0]), found[1])


def _sentence(name: str, probe: Probe) -> str:
    words = {"what": PROBES[name], "problem": sayings.shown(probe.problem) or _("no reason was given")}
    if probe.state == "late":
        return _("{what}: no answer in time. The rest is complete; look again later.").format_map(words)
    return _("{what}: could not be looked at ({problem}).").format_map(words)


def _instances(report: Report) -> Iterator[tuple[str, int, Instance]]:
    """(engine, position, instance) of all engines."""
    engines: dict[str, Any] = {
        "postgresql": report.postgresql and report.postgresql.clusters,
        "mysql": report.mysql and report.mysql.instances,
        "mongodb": report.mongodb and report.mongodb.instances,
        "elasticsearch": report.elasticsearch and report.elasticsearch.nodes,
        "redis": report.redis and report.redis.instances,
    }
    for engine, instances in engines.items():
        for position, instance in enumerate(instances or ()):
            yield engine, position, instance


def _card(report: Report, engine: str, position: int, instance: Any) -> Card:
    size = size_of(instance)
    advice = Advice(False, "contained") if instance.contained else advise(report, paths_of(instance), size)
    databases = getattr(instance, "databases", ())
    return Card(f"{engine}-{position}", engine, instance, _directories(instance), databases, advice, size)


def paths_of(instance: Any) -> list[str]:
    """All directories that one snapshot must hold for this instance to start again; empty when they are not known."""
    paths = [one.path for one in _directories(instance)]
    if not paths or None in paths:
        return []
    paths += [getattr(instance, "wal_directory", None), *(space.location for space in _spaces(instance))]
    paths += [posixpath.dirname(path) for path in getattr(instance, "outside_files", ())]
    return list(dict.fromkeys(path for path in paths if path and path.startswith("/")))


def _directories(instance: Any) -> tuple[Directory, ...]:
    """Its data directories: one, several (Elasticsearch), or none that is known."""
    data = instance.data
    if isinstance(data, tuple):
        return data
    return () if data is None else (data,)


def _spaces(instance: Any) -> list[Any]:
    """Tablespaces with a place of their own: the built-in ones lie in the data directory."""
    return [space for space in getattr(instance, "tablespaces", ()) if space.location]


def size_of(instance: Any) -> int | None:
    """What all of it occupies; None as soon as a part is not known: a sum that lacks it would be too small."""
    if getattr(instance, "wal_directory", None) or getattr(instance, "outside_files", ()):
        return None
    sizes = [one.size_bytes for one in (*_directories(instance), *_spaces(instance))]
    return None if not sizes or None in sizes else sum(size for size in sizes if size is not None)
