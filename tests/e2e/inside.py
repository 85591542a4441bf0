"""Runs inside a product's own Django (`Product.python`): opens things and tells where their pages are."""

from __future__ import annotations

from typing import Any

from backups.models import Archive, BackupJob, Repository, StoragePool
from backups.services import drafts
from backups.sources import paths as spelling
from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from recovery import paths
from recovery.models import Proof
from recovery.services import browse, proof_schedules, proofs, selection
from servers.models import Server

SOURCE = {"paths": ["/etc", "/home"], "excludes": ["*.tmp", "sh:**/.cache"], "one_file_system": True}


def addresses(job_name: str, *picked: str) -> dict[str, str]:
    """The pages about one job: its newest archive is opened, a restore of `picked` and a new job are begun."""
    alice = User.objects.get(username="alice")
    job = BackupJob.objects.get(name=job_name)
    archive = Archive.objects.filter(job=job).latest("started_at")
    browse.open_archive(archive=archive, by=alice)
    draft = drafts.begin(owner=alice, server=job.server)
    drafts.save_step(draft=draft, step="what", answers={"source_kind": "files", "source": SOURCE}, following="where")
    root = spelling.from_json(job.source["paths"][0]).lstrip(b"/")
    tokens = [paths.token(b"/".join((root, name.encode())) if name else root) for name in picked]
    restore = selection.add(archive=archive, tokens=tokens, by=alice)
    steps = ("server", "kind", "what", "where", "options", "schedule", "review")
    return {
        "server": job.server.get_absolute_url(),
        "proofs": "/proofs/",
        "job-proofs": f"{job.get_absolute_url()}proofs/",
        "proof-plan": f"{job.get_absolute_url()}proofs/plan/",
        "proof": proof_of(job, archive),
        "job": job.get_absolute_url(),
        "archive": archive.get_absolute_url(),
        "browse": f"{archive.get_absolute_url()}browse/?path={paths.token(root)}",
        "restore-options": restore.get_absolute_url(),
        "repository": Repository.objects.earliest("name").get_absolute_url(),
        "pool": StoragePool.objects.earliest("name").get_absolute_url(),
        "task": last_task(job_name),
        **{f"wizard-{step}": f"/jobs/drafts/{draft.pk}/{step}/" for step in steps},
        "wizard-folders": f"/jobs/drafts/{draft.pk}/what/?open=/etc",
    }


def proof_of(job: BackupJob, archive: Archive) -> str:
    """The page of a proof of the job; one of this archive is begun when there is none. There is a plan of more."""
    proof_schedules.set_plan(job=job, cron="0 4 1 * *", zone="UTC")
    proof = Proof.objects.filter(job=job).first()
    if proof is None:
        proof = proofs.draft(archive=archive)
        proofs.start(proof=proof)
    return proof.get_absolute_url()


def last_task(job_name: str) -> str:
    """The page of the newest run of a job."""
    job = BackupJob.objects.get(name=job_name)
    return Task.objects.filter(kind="backup", job_ref=job.pk).latest("created_at").get_absolute_url()


def new_server(name: str, like: str) -> str:
    """A server that has shown its identity and waits for somebody; the page of its enrolment."""
    known: Any = Server.objects.get(name=like)
    new = Server.objects.create(name=name, address=name, user=known.user, offered_host_key=known.host_key)
    return f"/servers/{new.pk}/enrol/"
