"""Fill an empty database with an invented fleet, to see and measure the pages at full size."""

from __future__ import annotations

import random
import uuid
from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from backups.models import Archive, BackupJob, Repository, Schedule, StoragePool
from phpborg.tasks.models import Task
from phpborg.tasks.states import State, Trigger
from servers.models import Label, Server

SITES = ("paris", "lyon", "lille", "nantes", "brest", "geneva", "bruges", "montreal")
ROLES = ("web", "db", "mail", "files", "erp", "git", "proxy", "wiki", "crm", "ci")
TREES = (["/etc"], ["/srv"], ["/home"], ["/var/www"], ["/var/lib"], ["/opt"])
# Of a thousand runs: a fleet that is looked after, with a few servers that need somebody.
GRADES = [State.SUCCESS] * 945 + [State.NOTES] * 51 + [State.INCOMPLETE] * 4
ENDS = (
    [State.SUCCESS] * 930
    + [State.NOTES] * 52
    + [State.INCOMPLETE] * 4
    + [State.FAILED] * 6
    + [State.CANCELLED] * 5
    + [State.LOST] * 3
)
BATCH = 2000


class Command(BaseCommand):
    """Invented servers, jobs, archives and tasks; nothing outside the database is touched."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--servers", type=int, default=500)
        parser.add_argument("--jobs", type=int, default=2000)
        parser.add_argument("--archives", type=int, default=100_000)
        parser.add_argument("--tasks", type=int, default=20_000)
        parser.add_argument("--seed", type=int, default=1, help="the same number gives the same fleet")

    def handle(self, *args: Any, **options: Any) -> None:
        if Server.objects.filter(kind=Server.Kind.SSH).exists():
            raise CommandError("This database already has servers: seed only an empty one.")
        maker = Maker(random.Random(options["seed"]))  # noqa: S311  (an invented fleet, not a secret)
        with transaction.atomic():
            maker.servers(options["servers"])
            maker.storage()
            maker.jobs(options["jobs"])
            maker.archives(options["archives"])
            maker.tasks(options["tasks"])
        self.stdout.write("{servers} servers, {jobs} jobs, {archives} archives, {tasks} tasks".format(**options))


class Maker:
    """Makes rows that look like a grown fleet: sites, roles, daily archives, a few failures."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = timezone.now()

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.chance.getrandbits(128), version=4)

    def servers(self, count: int) -> None:
        labels = [Label(name=site) for site in SITES] + [Label(name=name) for name in ("production", "staging")]
        Label.objects.bulk_create(labels, ignore_conflicts=True)
        known = {label.name: label for label in Label.objects.all()}
        self.made_servers = []
        for number in range(count):
            site, role = self.chance.choice(SITES), self.chance.choice(ROLES)
            state = Server.State.READY if self.chance.random() > 0.012 else Server.State.FAILED
            self.made_servers.append(
                Server(
                    id=self._uuid(),
                    name=f"{role}-{number:03d}.{site}",
                    address=f"{role}-{number:03d}.{site}.example.net",
                    state=state,
                    last_error_code="" if state == Server.State.READY else "SSH-01",
                    last_seen_at=self.now - timedelta(minutes=self.chance.randrange(1, 900)),
                    host_key_fingerprint=f"SHA256:{self._uuid().hex}",
                    facts={
                        "hostname": f"{role}-{number:03d}",
                        "os": {"pretty_name": "Debian GNU/Linux 12 (bookworm)"},
                        "borg": {"version": "1.2.4"},
                    },
                )
            )
        Server.objects.bulk_create(self.made_servers, batch_size=BATCH)
        link = Server.labels.through
        pairs = [link(server_id=row.pk, label_id=known[row.name.rpartition(".")[2]].pk) for row in self.made_servers]
        link.objects.bulk_create(pairs, batch_size=BATCH)

    def storage(self) -> None:
        self.repositories = []
        for number in range(4):
            pool = StoragePool.objects.create(
                name=f"pool-{number}",
                path=f"/srv/pool-{number}",
                capacity_bytes=40 * 10**12,
                used_bytes=(20 + 4 * number) * 10**12,
                available_bytes=(20 - 4 * number) * 10**12,
                filesystem="xfs",
                analysed_at=self.now,
            )
            for part in range(10):
                self.repositories.append(
                    Repository(
                        pool=pool,
                        name=f"repository-{number}-{part}",
                        path=f"{pool.path}/repository-{part}",
                        borg_id=self._uuid().hex * 2,
                        encryption="repokey-blake2",
                        size_bytes=self.chance.randrange(10**11, 3 * 10**12),
                    )
                )
        Repository.objects.bulk_create(self.repositories)

    def jobs(self, count: int) -> None:
        self.made_jobs = []
        for number in range(count):
            server = self.made_servers[number % len(self.made_servers)]
            paths = TREES[number // len(self.made_servers) % len(TREES)]
            name = f"{server.name} {paths[0]}"
            self.made_jobs.append(
                BackupJob(
                    id=self._uuid(),
                    name=f"{name} {number}" if number >= len(self.made_servers) * len(TREES) else name,
                    slug=f"job-{number}",
                    server=server,
                    repository=self.chance.choice(self.repositories),
                    source={"paths": paths, "excludes": [], "one_file_system": False},
                )
            )
        BackupJob.objects.bulk_create(self.made_jobs, batch_size=BATCH)
        Schedule.objects.bulk_create(
            [
                Schedule(
                    job=job,
                    cron=f"{self.chance.randrange(60)} {self.chance.randrange(6)} * * *",
                    zone="Europe/Paris",
                    next_run_at=self.now + timedelta(minutes=self.chance.randrange(1, 1440)),
                )
                for job in self.made_jobs
            ],
            batch_size=BATCH,
        )

    def archives(self, count: int) -> None:
        for start in range(0, count, BATCH):
            rows = [self._archive(number) for number in range(start, min(start + BATCH, count))]
            Archive.objects.bulk_create(rows)

    def _moment(self, number: int) -> datetime:
        """A job runs once a day, always at its own minute; its archive and its task are of the same run."""
        days, job = divmod(number, max(len(self.made_jobs), 1))
        return self.now - timedelta(days=days, minutes=61 + job * 7919 % 1380)

    def _archive(self, number: int) -> Archive:
        job = self.made_jobs[number % len(self.made_jobs)]
        at = self._moment(number)
        size = self.chance.randrange(10**8, 10**11)
        seconds = self.chance.randrange(20, 3600)
        return Archive(
            id=self._uuid(),
            repository_id=job.repository_id,
            job=job,
            server_id=job.server_id,
            job_name=job.name,
            server_name=job.server.name,
            name=f"{job.slug}-{job.pk.hex[:8]}-{at:%Y%m%dT%H%M%SZ}-{number:08x}",
            borg_id=f"{number:064x}",
            started_at=at,
            finished_at=at + timedelta(seconds=seconds),
            original_bytes=size,
            compressed_bytes=int(size * 0.6),
            deduplicated_bytes=int(size * 0.02),
            files=self.chance.randrange(1000, 10**6),
            duration_seconds=seconds,
            rate_average=size / seconds,
            grade=self.chance.choice(GRADES),
        )

    def tasks(self, count: int) -> None:
        for start in range(0, count, BATCH):
            Task.objects.bulk_create([self._task(number) for number in range(start, min(start + BATCH, count))])

    def _task(self, number: int) -> Task:
        job = self.made_jobs[number % len(self.made_jobs)]
        at = self._moment(number)
        state = self.chance.choice(ENDS)
        return Task(
            id=self._uuid(),
            kind="backup",
            queue="backup",
            state=state,
            trigger=Trigger.SCHEDULE,
            subject=f"{job.name}",
            params={"job": str(job.pk)},
            server_ref=job.server_id,
            job_ref=job.pk,
            repository_ref=job.repository_id,
            created_at=at,
            started_at=at,
            finished_at=at + timedelta(seconds=self.chance.randrange(20, 3600)),
            error_code="SSH-01" if state == State.FAILED else "",
        )
