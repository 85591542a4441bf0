"""What the sources of all database servers share: configuration, the instance, how to get in, what to say of it.

Each engine is a subclass in a file of its own. Everything follows from a capability report
(servers/capabilities); a password is in none of it. docs/capabilities.md says what a report holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from backups import source_errors as e
from backups.job_errors import ListTooLong
from backups.sources.base import Consistency, DatabaseRecord, Sentence, SourceFacts, SourcePlan
from phpborg.errors import InvalidInput, PhpBorgError
from phpborg.tasks.registry import Finding
from servers.capabilities.cards import FLAVOURS, LOGINS
from servers.capabilities.databases import Database, Directory, Instance
from servers.capabilities.report import Report
from servers.capabilities.storage import normal

MOST_DATABASES = 2000
_KEYS = {"instance", "method", "databases", "config_files", "login"}
_LONGEST_ID = 4096
_NAMES_TOLD = 20
# Why something of a server is not in an archive, as its record says it; the words for people beside it.
TEMPLATE = "template"
NO_CONNECTIONS = "does not allow connections"
NOT_CHOSEN = "not chosen"
AS_USERS = "only as users and grants"
MADE_BY_SERVER = "made by the server itself"
OWN_TO_SERVER = "belongs to this one server"
NAMELESS = "its name is not known"
FOLDER = "a folder, not a file"
ODD_NAME = "its name cannot be kept"
ALL_ONLY = "only with all databases"
CHANGING = "changes while it is read"
REASONS: dict[str, Promise] = {
    TEMPLATE: gettext_lazy("a template for new databases"),
    NO_CONNECTIONS: gettext_lazy("it does not allow connections"),
    NOT_CHOSEN: gettext_lazy("not chosen"),
    AS_USERS: gettext_lazy("only its users and grants"),
    MADE_BY_SERVER: gettext_lazy("the server makes it itself"),
    OWN_TO_SERVER: gettext_lazy("it belongs to this one server"),
    NAMELESS: gettext_lazy("its name is not known"),
    FOLDER: gettext_lazy("a folder"),
    ODD_NAME: gettext_lazy("its name cannot be kept in an archive"),
    ALL_ONLY: gettext_lazy("only when all databases are chosen"),
    CHANGING: gettext_lazy("it changes while it is read"),
}

Kind = TypeVar("Kind", bound=Instance)
Row = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """One way to back an engine up. `what` is a sentence, `consistency` what an archive of it is."""

    name: str
    label: Promise
    what: Promise
    consistency: Consistency
    needs_login: bool = True


@dataclass(frozen=True)
class DatabaseConfig:
    """Which instance, how, and which of its databases (none: all; only where they are dumped)."""

    instance: str
    method: str
    databases: tuple[str, ...] = ()
    config_files: bool = True
    login: str = "auto"

    def as_json(self) -> dict[str, Any]:
        """As stored in the job."""
        return {
            "instance": self.instance,
            "method": self.method,
            "databases": list(self.databases),
            "config_files": self.config_files,
            "login": self.login,
        }


@dataclass(frozen=True)
class Seen(Generic[Kind]):
    """What a plan is made of: the job's wishes and what the server said. `login` says how we get in."""

    config: DatabaseConfig
    report: Report
    instance: Kind
    login: Row
    method: Method

    @property
    def login_is_known(self) -> bool:
        """Was the login seen to work? One that was given is tried by the run's own look only."""
        return self.instance.login.works is True


class DatabaseSource(ABC, Generic[Kind]):
    """One engine. A subclass says what it is called, its methods (the first is the default) and makes the plan."""

    kind: str
    label: Promise
    methods: tuple[Method, ...]
    # How long the name of a database may be, and in what that is counted.
    longest_name: int
    name_in_bytes = True
    # It always has databases of its own: an empty list of them is one that is not known.
    never_empty = True

    @abstractmethod
    def instances(self, report: Report) -> tuple[Kind, ...]:
        """All that the report knows of."""

    @abstractmethod
    def access(self, instance: Kind, login: Row) -> Row:
        """How the helper is told which server it is and how to get in. Raises InstanceUnclear."""

    @abstractmethod
    def make(self, seen: Seen[Kind]) -> SourcePlan:
        """The plan by the method of the configuration. Raises what backups/source_errors.py has."""

    # --- the configuration -----------------------------------------------------------------------

    def parse(self, data: Mapping[str, Any]) -> DatabaseConfig:
        """Checked; names without repetition, in their order. Raises InvalidInput, ListTooLong."""
        if set(data) - _KEYS:
            raise InvalidInput(field=_("Source"), problem=_("it holds a setting that is not known"))
        instance = data.get("instance")
        if not isinstance(instance, str) or not instance or len(instance) > _LONGEST_ID or "\0" in instance:
            raise InvalidInput(field=_("Database server"), problem=_("choose one of those that were found"))
        method = data.get("method", self.methods[0].name)
        if method not in [known.name for known in self.methods]:
            raise InvalidInput(field=_("Method"), problem=_("it does not exist for this kind of server"))
        databases = self._names(data.get("databases", []))
        if databases and method != "logical":
            problem = _("they can only be chosen where each is dumped; this method holds them all")
            raise InvalidInput(field=_("Databases"), problem=problem)
        config_files = data.get("config_files", True)
        if not isinstance(config_files, bool):
            raise InvalidInput(field=_("Configuration files"), problem=_("it is either on or off"))
        login = data.get("login", "auto")
        if login not in ("auto", "given"):
            raise InvalidInput(field=_("Login"), problem=_("it is either found or given"))
        return DatabaseConfig(instance, method, databases, config_files, login)

    def _names(self, value: Any) -> tuple[str, ...]:
        """Whatever text the engine allows as a name: blanks, quotes and slashes too."""
        if not isinstance(value, list | tuple):
            raise InvalidInput(field=_("Databases"), problem=_("a list is needed"))
        if len(value) > MOST_DATABASES:
            raise ListTooLong(count=len(value), limit=MOST_DATABASES)
        for name in value:
            if not isinstance(name, str) or not name or "\0" in name or not self.fits(name):
                problem = _("a name has 1 to {limit} characters").format(limit=self.longest_name)
                raise InvalidInput(field=_("Databases"), problem=problem)
        return tuple(dict.fromkeys(value))

    def fits(self, name: str) -> bool:
        """Is it as short as the engine wants it, and text that can be sent?"""
        try:
            encoded = name.encode("utf-8")
        except UnicodeEncodeError:
            return False
        return (len(encoded) if self.name_in_bytes else len(name)) <= self.longest_name

    def method(self, name: str) -> Method:
        """By its name."""
        return next(known for known in self.methods if known.name == name)

    # --- what the rest of the house asks -----------------------------------------------------------

    def asks(self, config: DatabaseConfig) -> tuple[bytes, ...]:
        """None: the report says which files are there."""
        return ()

    def probes(self, config: DatabaseConfig) -> tuple[str, ...]:
        """Its own; for a snapshot also what tells the volumes."""
        return (self.kind, "mounts", "lvm", "btrfs", "zfs") if config.method == "snapshot" else (self.kind,)

    def summary(self, config: DatabaseConfig) -> str:
        """PostgreSQL 15/main · Stream · shop, crm"""
        words = [f"{self.label} {config.instance}", str(self.method(config.method).label)]
        if config.databases:
            words.append(listed(config.databases, 3))
        return " · ".join(words)

    def plan(self, config: DatabaseConfig, facts: SourceFacts) -> SourcePlan:
        """What borg is to read, by the report; without one, what will be looked at. Raises e.… when it cannot be."""
        method = self.method(config.method)
        if facts.report is None:
            return SourcePlan(sentences=(method.what, self._outlook(config)))
        instance = self.find(config.instance, facts.report)
        self.check_state(instance)
        login = self.entrance(instance, config.login) if method.needs_login else {"method": "none"}
        made = self.make(Seen(config, facts.report, instance, login, method))
        sentences: list[Sentence] = [method.what, *made.sentences]
        if method.needs_login:
            sentences.append(_login_words(instance, login))
        findings = made.findings
        if facts.report.cut:
            findings += (Finding("report_cut", str(self.label), config.instance),)
        return replace(made, sentences=tuple(sentences), findings=findings)

    def _outlook(self, config: DatabaseConfig) -> str:
        return _(
            "When it runs, the server is asked for {engine} “{instance}”: its version, its directories, its databases "
            "and which logins work. The rest of the plan follows from the answer."
        ).format(engine=self.label, instance=config.instance)

    # --- the instance ------------------------------------------------------------------------------

    def find(self, identifier: str, report: Report) -> Kind:
        """The instance of this id. Raises ServersUnknown, InstanceGone."""
        probe = report.probe(self.kind)
        known = [one for one in self.instances(report) if one.id == identifier]
        # One that is there was seen, however the probe ended; a list that may lack it proves nothing.
        if not known and (probe is None or probe.state != "ok"):
            late = _("it did not answer in time") if probe is not None and probe.state == "late" else ""
            raise e.ServersUnknown((probe and probe.problem) or late, engine=str(self.label))
        if not known:
            raise e.InstanceGone(engine=str(self.label), instance=identifier)
        return known[0]

    def check_state(self, instance: Kind) -> None:
        """Raises InstanceContained, InstanceStopped."""
        if instance.contained:
            raise self.error(e.InstanceContained, instance)
        if instance.running is False:
            raise self.error(e.InstanceStopped, instance)

    def entrance(self, instance: Kind, login: str) -> Row:
        """{"method", "user"} of the login to use; a given one has a user only once it worked. Raises LoginFailed."""
        seen = instance.login
        if login == "given":
            return signed(seen.method, seen.user) if seen.method == "given" else {"method": "given"}
        if seen.works is not True or seen.method in (None, "given"):
            raise self.error(e.LoginFailed, instance, seen.problem or "")
        return signed(seen.method, seen.user)

    def error(self, kind: type[PhpBorgError], instance: Kind, detail: str = "", **facts: str | int) -> PhpBorgError:
        """An error that names the engine and the instance."""
        return kind(detail, engine=self.name_of(instance), instance=instance.id or "", **facts)

    def name_of(self, instance: Kind) -> str:
        """MariaDB rather than “MySQL / MariaDB”, where that is known."""
        return FLAVOURS.get(getattr(instance, "flavour", None) or "", str(self.label))

    def need(self, instance: Kind, value: Any, missing: str) -> Any:
        """The value. Raises InstanceUnclear, which names it, when there is none."""
        if value is None or value == "":
            raise self.error(e.InstanceUnclear, instance, missing=missing)
        return value

    def data_path(self, instance: Kind, directory: Directory | None) -> str:
        """The data directory, in the plain form that every part of us takes. Raises InstanceUnclear."""
        path = directory.path if directory else None
        plain = path if path and path.startswith("/") and normal(path) == path != "/" else None
        found: str = self.need(instance, plain, _("its data directory is not known"))
        return found

    # --- words and records -------------------------------------------------------------------------

    def record(
        self, seen: Seen[Kind], included: Iterable[Row], left_out: Iterable[Row], **facts: Any
    ) -> DatabaseRecord:
        """What the archive will say of itself. `facts` beside those that every engine has."""
        instance: Any = seen.instance
        known = {"instance": instance.id, "port": instance.port, "owner": instance.owner, **facts}
        data = instance.data
        if isinstance(data, tuple):
            data = data[0] if data else None
        return DatabaseRecord(
            engine=self.kind,
            server_version=instance.version,
            method=seen.method.name,
            consistency=seen.method.consistency,
            data_directory=data.path if data else None,
            included=tuple(included),
            not_included=tuple(left_out),
            facts=known,
        )


def signed(method: str | None, user: str | None) -> Row:
    """A login as the helper is told it."""
    return {"method": method, **({"user": user} if user else {})}


def with_user(row: Mapping[str, Any], user: str) -> Row:
    """A row for the helper whose login was given, with that login's user: no source knows it, the job does.

    Works on rows of streams, feeds and freezes (whose `hold` is such a row); any other comes back as it is.
    """
    made = dict(row)
    if isinstance(made.get("hold"), Mapping):
        made["hold"] = with_user(made["hold"], user)
    login = made.get("login")
    if isinstance(login, Mapping) and login.get("method") == "given":
        made["login"] = {**login, "user": user}
        if "major" in made:  # PostgreSQL's own name for it
            made["user"] = user
    return made


def check_complete(plan: SourcePlan) -> None:
    """After a fresh look a plan must read something. Raises NothingToRead with what the server said."""
    if not (plan.paths or plan.streams or plan.feed):
        problems = [finding.message for finding in plan.findings if finding.kind == "login_unproven"]
        raise e.NothingToRead("; ".join(problems))


def data_row(path: str, name: str = "") -> Row:
    """A directory of data, as a record names it."""
    return {"kind": "data", "name": name or path, "path": path.lstrip("/")}


def config_row(path: str) -> Row:
    """A settings file or folder under its own name, as a record names it."""
    return {"kind": "config", "name": path, "path": path.lstrip("/")}


def database_rows(databases: Sequence[Database], path: str) -> list[Row]:
    """All databases that lie in one file or directory of an archive."""
    return [{"kind": "database", "name": one.name or "", "path": path.lstrip("/")} for one in databases]


def left_out(name: str | None, reason: str, kind: str = "database") -> Row:
    """What is not in an archive, and why."""
    return {"kind": kind, "name": name or "", "reason": reason}


def unproven(instance: Instance) -> Finding:
    """The plan waits for a login that was given: what the server says without it."""
    return Finding("login_unproven", instance.login.problem or "", instance.id or "")


def left_out_words(rows: Sequence[Row]) -> list[str]:
    """What is left out, a sentence for each reason; none when that is nothing worth a word."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["reason"], []).append(row["name"])
    sentence = _("Left out ({reason}): {names}.")
    return [sentence.format(reason=REASONS[reason], names=listed(found)) for reason, found in names.items()]


def listed(names: Sequence[str], most: int = _NAMES_TOLD) -> str:
    """“a, b and 7 more”"""
    text, more = ", ".join(names[:most]), len(names) - most
    if more <= 0:
        return text
    return ngettext("{names} and {count} more", "{names} and {count} more", more).format(names=text, count=more)


def _login_words(instance: Instance, login: Row) -> str:
    """How we get in, as a sentence."""
    words = str(LOGINS.get(login["method"] or "", login["method"] or ""))
    user = login.get("user")
    return _("Signs in {how}.").format(how=f"{words} ({user})" if user else words)
