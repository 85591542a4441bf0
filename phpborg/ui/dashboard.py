"""The first page: what needs a person now, what runs, how it went, what is full."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from backups.models import Archive, BackupJob, Repository, StoragePool
from notifications.models import MailSettings
from phpborg.accounts.rights import Right, permission
from phpborg.tasks import live, workers
from phpborg.tasks.models import Task
from phpborg.tasks.states import FINAL, State
from phpborg.ui.context import reverse_or_none
from phpborg.ui.models import Installation
from phpborg.ui.results import Results, results
from recovery.services import proofs
from servers.models import Server
from servers.services import fleet
from servers.services.health import Health

SHOWN, POOLS_SHOWN, MANY = 6, 20, 10_000
LATE_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Alert:
    """Something that needs a person: a sentence, its colour and icon, the things it is about."""

    tone: str
    icon: str
    title: str
    total: int
    things: list[tuple[str, str | None, str]] = field(default_factory=list)  # words, address, second line
    all_url: str | None = None


@dataclass(frozen=True)
class JobCount:
    """So many jobs ended so the last time."""

    state: State | None
    label: str | Promise
    tone: str
    icon: str
    number: int


@require_GET
@permission(Right.VIEW)
def dashboard(request: HttpRequest) -> HttpResponse:
    """Everything in a constant number of queries."""
    servers = list(
        fleet.with_facts(Server.objects.order_by("name")).only("pk", "name", "state", "kind", "last_error_code")
    )
    installation = Installation.load()
    is_empty = not servers and not BackupJob.objects.exists()
    may_administer = request.user.may(Right.ADMINISTER)  # type: ignore[union-attr]
    if is_empty and may_administer and installation.first_run_finished_at is None:
        first_run = reverse_or_none("first-run")
        if first_run:
            return redirect(first_run)
    jobs = _jobs()
    pools = list(StoragePool.objects.order_by("name"))
    seen: Results = results()
    active = Task.objects.active().for_people()
    context = {
        "servers": servers,
        "health": _health(servers),
        "jobs": _job_counts(jobs),
        "jobs_total": len(jobs),
        "alerts": _alerts(servers, jobs, pools, may_administer),
        "active": live.current(active.order_by("created_at")[:SHOWN]),
        "active_total": active.count(),
        "results": seen,
        "pools": [(pool, reverse_or_none("pool", pool.pk)) for pool in pools[:POOLS_SHOWN]],
        "archives": list(_recent()),
        "archives_total": _archives_total(),
        "is_empty": is_empty,
        "may_administer": may_administer,
        "may_operate": request.user.may(Right.OPERATE),  # type: ignore[union-attr]
    }
    return render(request, "ui/dashboard.html", context)


def _health(servers: list[Any]) -> list[tuple[Health, int]]:
    numbers = Counter(server.health for server in servers)
    return [(health, numbers[health]) for health in Health if numbers[health]]


def _jobs() -> list[dict[str, Any]]:
    """Every active job with how its last run ended."""
    runs = Task.objects.filter(kind="backup", job_ref=OuterRef("pk"), state__in=FINAL).exclude(state=State.CANCELLED)
    last = runs.exclude(result__has_key="skipped").order_by("-created_at")
    rows = BackupJob.objects.enabled().annotate(
        last_state=Subquery(last.values("state")[:1]),
        last_task=Subquery(last.values("pk")[:1]),
        next_at=F("schedule__next_run_at"),
        scheduled=F("schedule__enabled"),
    )
    fields = ("pk", "name", "last_state", "last_task", "next_at", "scheduled", "server__name")
    return [dict(row) for row in rows.order_by("name").values(*fields)]


def _job_counts(jobs: list[dict[str, Any]]) -> list[JobCount]:
    numbers = Counter(job["last_state"] for job in jobs)
    order = (State.FAILED, State.LOST, State.INCOMPLETE, State.NOTES, State.SUCCESS)
    found = [JobCount(state, state.label, state.tone, state.icon, numbers[state]) for state in order if numbers[state]]
    if numbers[None]:
        found.append(JobCount(None, gettext_lazy("Never run"), "neutral", "clock", numbers[None]))
    return found


def _recent() -> QuerySet[Archive]:
    return (
        Archive.objects.present()
        .order_by("-started_at")
        .only("pk", "name", "job_name", "server_name", "started_at", "grade", "original_bytes", "deduplicated_bytes")[
            :8
        ]
    )


def _archives_total() -> int:
    """How many archives there are; a large number is allowed to be a minute old."""
    known: int | None = cache.get("archives-total")
    if known is None:
        known = Archive.objects.present().count()
        if known > MANY:
            cache.set("archives-total", known, 60)
    return known


def _alerts(
    servers: list[Any], jobs: list[dict[str, Any]], pools: list[StoragePool], may_administer: bool
) -> list[Alert]:
    """Worst first; a kind of trouble without a case is left out."""
    found = [*_queue_alerts(), *_server_alerts(servers), *_job_alerts(jobs), *_storage_alerts(pools)]
    found += [*_proof_alerts(), *_mail_alerts(may_administer)]
    return sorted(
        (alert for alert in found if alert.total), key=lambda alert: ("bad", "warn", "info").index(alert.tone)
    )


def _queue_alerts() -> list[Alert]:
    """Nothing begins, or nothing is noticed."""
    page = reverse("workers")
    _version, error = workers.redis_state()
    found = []
    if error:
        found.append(Alert("bad", "plug", _("Redis does not answer: tasks wait."), 1, all_url=page))
    elif not workers.alive():
        found.append(Alert("bad", "users", _("No worker is running: tasks wait."), 1, all_url=page))
    if workers.clock_is_dead(workers.clock_at()):
        found.append(Alert("bad", "clock", _("The clock has stopped: no scheduled backup begins."), 1, all_url=page))
    held = workers.resisting()
    if held:
        found.append(Alert("warn", "lock", _("Something left behind resists removal."), len(held), all_url=page))
    return found


TROUBLE = (
    (Health.IDENTITY, "bad", gettext_lazy("Servers whose identity has changed: no backup runs until it is approved.")),
    (Health.SETUP_FAILED, "bad", gettext_lazy("Servers whose set-up failed.")),
    (Health.NEW, "info", gettext_lazy("Servers that are not set up yet.")),
    (Health.NO_JOB, "info", gettext_lazy("Servers that nothing backs up.")),
)


def _server_alerts(servers: list[Any]) -> list[Alert]:
    found = []
    for health, tone, words in TROUBLE:
        some = [server for server in servers if server.health == health]
        things = [(server.name, reverse_or_none("server", server.pk), "") for server in some[:SHOWN]]
        address = f"{reverse('servers')}?health={health.value}"
        found.append(Alert(tone, health.icon, str(words), len(some), things, address))
    return found


def _job_alerts(jobs: list[dict[str, Any]]) -> list[Alert]:
    """Failing, incomplete, and overdue: no backup at all is also news."""
    limit = timezone.now() - LATE_AFTER
    failed = [job for job in jobs if job["last_state"] in (State.FAILED, State.LOST)]
    incomplete = [job for job in jobs if job["last_state"] == State.INCOMPLETE]
    late = [job for job in jobs if job["scheduled"] and job["next_at"] and job["next_at"] < limit]
    never = [job for job in jobs if job["last_state"] is None and not job["scheduled"]]
    address = reverse_or_none("jobs")

    def things(some: list[dict[str, Any]]) -> list[tuple[str, str | None, str]]:
        return [(job["name"], reverse_or_none("job", job["pk"]), job["server__name"]) for job in some[:SHOWN]]

    return [
        Alert(
            "bad", "cross", _("Jobs whose last backup failed."), len(failed), things(failed), _with(address, "failed")
        ),
        Alert(
            "warn",
            "warning",
            _("Jobs whose last backup is incomplete: something could not be read."),
            len(incomplete),
            things(incomplete),
            _with(address, "incomplete"),
        ),
        Alert("warn", "clock", _("Jobs that are overdue."), len(late), things(late), address),
        Alert(
            "info",
            "calendar",
            _("Jobs that have never run and have no schedule."),
            len(never),
            things(never),
            _with(address, "never"),
        ),
    ]


def _proof_alerts() -> list[Alert]:
    """An archive that could not be proven, and jobs for which nobody has tried for too long."""
    standings = proofs.standings()
    failing = [one for one in standings if one.is_failing]
    late = [one for one in standings if one.is_overdue and not one.is_failing]
    page = reverse_or_none("proofs")

    def things(some: list[proofs.Standing]) -> list[tuple[str, str | None, str]]:
        return [(one.plan.job.name, reverse_or_none("job-proofs", one.plan.job_id), "") for one in some[:SHOWN]]

    return [
        Alert("bad", "shield", _("Jobs whose last proof of restore failed."), len(failing), things(failing), page),
        Alert("warn", "shield", _("Jobs whose proof of restore is overdue."), len(late), things(late), page),
    ]


def _with(address: str | None, state: str) -> str | None:
    return f"{address}?state={state}" if address else None


def _mail_alerts(may_administer: bool) -> list[Alert]:
    """A failure that nobody hears of is found when the backup is needed."""
    silent = not MailSettings.load().enabled
    words = _("Mail is off: nobody is told when a backup fails.")
    return [Alert("info", "bell", words, int(silent), all_url=reverse("mail-settings") if may_administer else None)]


def _storage_alerts(pools: list[StoragePool]) -> list[Alert]:
    """What is full, damaged, or could not be opened by anybody after the loss of this machine."""
    live_ones = Repository.objects.live()
    no_key = live_ones.exclude(encryption="none").filter(key_exported_at__isnull=True)
    damaged = live_ones.filter(check_good=False)
    repositories = list(live_ones.filter(Q(pk__in=no_key) | Q(pk__in=damaged)).order_by("name"))
    bad = [one for one in repositories if one.check_good is False]
    keyless = [one for one in repositories if one.is_encrypted and one.key_exported_at is None]
    full = [pool for pool in pools if pool.is_over_threshold]
    broken = [pool for pool in pools if pool.problem]
    page = reverse_or_none("repositories")

    def things(rows: list[Any], route: str) -> list[tuple[str, str | None, str]]:
        return [(row.name, reverse_or_none(route, row.pk), getattr(row, "problem", "")) for row in rows[:SHOWN]]

    return [
        Alert(
            "bad", "cross", _("Repositories whose last check found damage."), len(bad), things(bad, "repository"), page
        ),
        Alert("bad", "storage", _("Storage pools with a problem."), len(broken), things(broken, "pool"), page),
        Alert("warn", "storage", _("Storage pools that are nearly full."), len(full), things(full, "pool"), page),
        Alert(
            "warn",
            "key",
            _("Repositories whose key was never exported: if this machine is lost, so are they."),
            len(keyless),
            things(keyless, "repository"),
            page,
        ),
    ]
