"""Plans of proofs: set, previewed, and claimed so that two clocks never start one proof twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from backups.models import BackupJob
from backups.services import schedules
from phpborg.errors import InvalidInput
from phpborg.scheduling import cron as crons
from phpborg.scheduling.cron import CronInvalid
from phpborg.ui.models import Installation
from recovery.checks.base import Query
from recovery.models import Depth, ProofPlan
from servers.models import Server


def seed_of(job: BackupJob) -> str:
    """What spreads `H` in a cron text: not the minute of the job's own schedule."""
    return f"proof-{job.pk}"


def set_plan(
    *,
    job: BackupJob,
    cron: str,
    zone: str = "",
    depth: int = Depth.READ,
    sample_percent: int = 100,
    server: Server | None = None,
    docker: str = "",
    image: str = "",
    queries: Sequence[Query] = (),
    overdue_days: int | None = 35,
    enabled: bool = True,
) -> ProofPlan:
    """How this job's archives are proven from now on; an empty cron text means “by hand only”.

    Raises CronInvalid, InvalidInput.
    """
    if depth not in Depth.values:
        raise InvalidInput(field=_("depth"), problem=_("choose one of the three depths."))
    if not 1 <= sample_percent <= 100:
        raise InvalidInput(field=_("share that is read (%)"), problem=_("it must be from 1 to 100."))
    if overdue_days is not None and not 1 <= overdue_days <= 3660:
        raise InvalidInput(field=_("overdue after (days)"), problem=_("it must be from 1 to 3660."))
    if docker.strip() and not docker.strip().startswith("/"):
        raise InvalidInput(field=_("Docker socket"), problem=_("it must be an absolute path."))
    if queries and depth != Depth.START:
        raise InvalidInput(field=_("queries"), problem=_("queries are asked only when the databases are started."))
    zone = zone or Installation.load().zone_name
    schedules.zone_of(zone)
    text = crons.parse(cron, seed=seed_of(job)).text if cron.strip() else ""
    plan, _made = ProofPlan.objects.update_or_create(
        job=job,
        defaults={
            "cron": text,
            "zone": zone,
            "depth": depth,
            "sample_percent": sample_percent,
            "server": server,
            "docker": docker.strip(),
            "image": image.strip(),
            "queries": [query.as_json() for query in queries],
            "overdue_days": overdue_days,
            "enabled": enabled,
        },
    )
    plan_next(plan)
    return plan


def remove(job: BackupJob) -> None:
    """No proofs of this job from now on; those that were made stay."""
    ProofPlan.objects.filter(job=job).delete()


def next_run_of(plan: ProofPlan, after: datetime) -> datetime | None:
    """The first proof after that moment. Raises CronInvalid, InvalidInput when the row is damaged."""
    if not plan.cron:
        return None
    run = crons.parse(plan.cron, seed=seed_of(plan.job)).next_run(after, schedules.zone_of(plan.zone))
    return run.at if run else None


def plan_next(plan: ProofPlan, *, after: datetime | None = None) -> None:
    """Write down the next proof; none while the plan is switched off."""
    plan.next_run_at = next_run_of(plan, after or timezone.now()) if plan.enabled else None
    ProofPlan.objects.filter(pk=plan.pk).update(next_run_at=plan.next_run_at)


def describe(plan: ProofPlan) -> str:
    """The schedule as a sentence; a damaged row says so instead of raising."""
    if not plan.cron:
        return _("By hand only")
    try:
        return crons.words(crons.parse(plan.cron, seed=seed_of(plan.job)))
    except CronInvalid as error:
        return str(error)


def preview(*, cron: str, zone: str, job: BackupJob, count: int = 5) -> schedules.Preview:
    """What this text means. Raises CronInvalid, InvalidInput."""
    return schedules.preview(cron=cron, zone=zone, seed=seed_of(job), count=count)


def due(now: datetime) -> list[ProofPlan]:
    """The plans whose time has come, longest overdue first."""
    rows = ProofPlan.objects.filter(next_run_at__lte=now, enabled=True)
    return list(rows.select_related("job", "server").order_by("next_run_at"))


def claim(plan: ProofPlan, now: datetime) -> bool:
    """Take this due proof for us: those that were missed are caught up once. False when another clock was faster."""
    following = next_run_of(plan, now)
    taken = ProofPlan.objects.filter(pk=plan.pk, next_run_at=plan.next_run_at, enabled=True).update(
        next_run_at=following, last_due_at=plan.next_run_at
    )
    return taken == 1


def put_aside(plan: ProofPlan) -> None:
    """A row that cannot be read must not be tried at every tick; its job's page says what is wrong."""
    ProofPlan.objects.filter(pk=plan.pk, next_run_at=plan.next_run_at).update(next_run_at=None)


def overdue_before(plan: ProofPlan, now: datetime) -> datetime | None:
    """A job whose newest good proof is older than this is overdue; None when nobody minds."""
    if not plan.enabled or plan.overdue_days is None:
        return None
    return now - timedelta(days=plan.overdue_days)


def as_json(plan: ProofPlan) -> dict[str, Any]:
    """For `--json` outputs."""
    return {
        "job": plan.job.name,
        "enabled": plan.enabled,
        "cron": plan.cron,
        "zone": plan.zone,
        "depth": Depth(plan.depth).word,
        "sample_percent": plan.sample_percent,
        "server": plan.server.name if plan.server else None,
        "queries": plan.queries,
        "overdue_days": plan.overdue_days,
        "next_run_at": plan.next_run_at.isoformat() if plan.next_run_at else None,
    }
