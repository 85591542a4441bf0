"""The fleet's facts: health in a word, filters, and a number of queries that does not grow."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backups.models import Archive, BackupJob, Repository, Schedule, StoragePool
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from servers.models import Server
from servers.services import bulk, fleet, labels, removal
from servers.services.errors import NameNotTyped, ServerBusy
from servers.services.fleet import Filters
from servers.services.health import Health

pytestmark = pytest.mark.django_db


@pytest.fixture
def repository() -> Repository:
    pool = StoragePool.objects.create(name="disk", path="/backup")
    return Repository.objects.create(pool=pool, name="main", path="/backup/main", encryption="none")


def server(name: str, **more: Any) -> Server:
    more = {"state": Server.State.READY, "address": f"{name}.example.org", **more}
    return Server.objects.create(name=name, **more)


def job(of: Server, repository: Repository, name: str = "", **more: Any) -> BackupJob:
    name = name or f"{of.name} files"
    return BackupJob.objects.create(name=name, slug="files", server=of, repository=repository, **more)


def archive(of: BackupJob, days: float, grade: str = State.SUCCESS, **more: Any) -> Archive:
    return Archive.objects.create(
        repository=of.repository,
        job=of,
        server=of.server,
        name=uuid.uuid4().hex,
        borg_id=uuid.uuid4().hex * 2,
        started_at=timezone.now() - timedelta(days=days),
        grade=grade,
        **more,
    )


def ran(of: BackupJob, state: str, minutes: float = 1) -> Task:
    return Task.objects.create(
        kind="backup",
        queue="backup",
        state=state,
        server_ref=of.server.pk,
        job_ref=of.pk,
        created_at=timezone.now() - timedelta(minutes=minutes),
    )


def health_of(name: str) -> str:
    return str(fleet.with_facts(Server.objects.filter(name=name)).get().health)


def test_health_is_the_worst_that_is_true(repository: Repository) -> None:
    web = server("web", state=Server.State.NEW)
    assert health_of("web") == Health.NEW
    Server.objects.update(state=Server.State.FAILED)
    assert health_of("web") == Health.SETUP_FAILED
    Server.objects.update(state=Server.State.READY)
    assert health_of("web") == Health.NO_JOB
    files = job(web, repository)
    assert health_of("web") == Health.NO_ARCHIVE
    archive(files, 1)
    assert health_of("web") == Health.GOOD
    schedule = Schedule.objects.create(job=files, cron="0 3 * * *", zone="UTC", next_run_at=timezone.now())
    assert health_of("web") == Health.GOOD
    schedule.next_run_at = timezone.now() - timedelta(hours=2)
    schedule.save()
    assert health_of("web") == Health.LATE
    ran(files, State.FAILED)
    assert health_of("web") == Health.FAILING
    Server.objects.update(last_error_code="SSH-02")
    assert health_of("web") == Health.IDENTITY


def test_one_failing_job_of_many_is_seen_and_a_skip_hides_nothing(repository: Repository) -> None:
    web = server("web")
    good, bad = job(web, repository, "good"), job(web, repository, "bad")
    archive(good, 1)
    ran(bad, State.INCOMPLETE, minutes=30)
    ran(bad, State.CANCELLED, minutes=20)
    ran(good, State.SUCCESS, minutes=10)
    assert health_of("web") == Health.FAILING
    BackupJob.objects.filter(pk=bad.pk).update(enabled=False)
    assert health_of("web") == Health.GOOD


def test_dates_come_from_good_archives_that_are_there(repository: Repository) -> None:
    files = job(server("web"), repository)
    newest, oldest = archive(files, 2, State.NOTES), archive(files, 40)
    archive(files, 1, State.INCOMPLETE)
    archive(files, 90, missing_at=timezone.now())
    archive(files, 95, trashed_at=timezone.now())
    row = fleet.rows(Filters()).get()
    assert (row.last_good_at, row.oldest_at) == (newest.started_at, oldest.started_at)
    assert row.job_count == 1


def test_filters_and_counts(repository: Repository) -> None:
    labels.add_label(servers=[server("alpha"), server("beta")], name="paris")
    labels.add_label(servers=[server("gamma", state=Server.State.FAILED)], name="lyon")

    def names(**wanted: str) -> list[str]:
        return [row.name for row in fleet.rows(Filters(**wanted))]

    assert names() == ["gamma", "alpha", "beta"]  # what needs attention first
    assert names(label="paris") == ["alpha", "beta"]
    assert names(text="LYO") == ["gamma"]
    assert names(text="eta.example") == ["beta"]
    assert names(health="setup-failed") == ["gamma"]
    assert names(health="nonsense") == ["gamma", "alpha", "beta"]
    assert names(text="%") == names(text="'; --") == []
    assert fleet.counts() == [(Health.SETUP_FAILED, 1), (Health.NO_JOB, 2)]


def test_the_fleet_page_costs_the_same_for_many(alice, client_of, repository: Repository):
    def fill(first: int, count: int) -> None:
        for number in range(first, first + count):
            files = job(server(f"server-{number:03}"), repository)
            archive(files, 1)
            ran(files, State.RUNNING if number % 5 == 0 else State.SUCCESS)
            labels.add_label(servers=[files.server], name=f"site-{number % 7}")

    browser = client_of(alice)
    numbers = []
    # More run than the task bar shows, both times: only then it counts them.
    for first, count in ((0, 30), (30, 60)):
        fill(first, count)
        cache.clear()  # the installation's name is kept for a while: asked both times, or neither
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert browser.get("/servers/").status_code == 200
        numbers.append(len(queries))
    assert numbers[0] == numbers[1]
    assert numbers[1] < 20


def test_all_jobs_of_ready_servers_are_started_once(repository: Repository) -> None:
    ready, new = server("ready"), server("new", state=Server.State.NEW)
    for of in (ready, new):
        job(of, repository)
    job(ready, repository, "off", enabled=False)

    first = bulk.run_all_jobs(servers=[ready, new])
    second = bulk.run_all_jobs(servers=[ready, new])

    assert (first.started, first.already, first.not_ready) == (1, 0, ["new"])
    assert (second.started, second.already) == (0, 1)
    assert Task.objects.filter(kind="backup").count() == 1


def test_removal_says_what_hangs_on_it_and_refuses_while_busy(repository: Repository) -> None:
    files = job(server("web"), repository)
    archive(files, 1, deduplicated_bytes=5)
    archive(files, 2, trashed_at=timezone.now())
    busy = ran(files, State.RUNNING)

    plan = removal.removal_plan(files.server)

    assert (plan.jobs, plan.archives, plan.archive_bytes) == (("web files",), 1, 5)
    assert plan.repositories == ("main",)
    assert list(plan.blockers) == [busy]
    assert not plan.is_possible
    with pytest.raises(ServerBusy):
        removal.request_removal(server=files.server, typed="web")


@pytest.mark.parametrize("typed", ["", "Web", "web ", "yes"])
def test_removal_needs_the_exact_name(typed: str) -> None:
    web = server("web")
    with pytest.raises(NameNotTyped):
        removal.request_removal(server=web, typed=typed)


@pytest.mark.parametrize(("archives", "present"), [("keep", 2), ("trash", 1)])
def test_archives_survive_their_server(
    repository: Repository, run_pending, archives: removal.Archives, present: int
) -> None:
    web = server("web")
    files = job(web, repository)
    archive(files, 1)
    archive(files, 2, pinned=True)

    removal.request_removal(server=web, typed="web", archives=archives)
    [task] = run_pending("server-remove")

    assert task.state == State.SUCCESS, (task.error_code, task.error_detail)
    assert not Server.objects.exists()
    assert not BackupJob.objects.exists()
    assert Archive.objects.count() == 2
    assert Archive.objects.present().count() == present
    for row in Archive.objects.all():
        assert (row.server_name, row.job_name, row.server, row.job) == ("web", "web files", None, None)


def test_a_refused_identity_on_any_way_is_told_on_the_servers_page(web: Server, network, run_pending) -> None:
    from phpborg.tasks.registry import task_finished

    new = network.server("web.example.org")
    task = Task.objects.create(
        kind="backup", queue="backup", state=State.FAILED, error_code="SSH-02", server_ref=web.pk
    )
    task_finished.send(sender=Task, task=task)

    web.refresh_from_db()
    assert (web.last_error_code, web.offered_host_key) == ("SSH-02", new)
