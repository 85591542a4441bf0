"""Rows for the pages: an archive of the sample project, and a draft of it at any step."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from backups.models import Archive, Repository, StoragePool
from dockerops import conflicts
from dockerops.choice import Choice
from dockerops.manifest import Contents
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.services import planning
from phpborg.tasks.models import Task
from phpborg.tasks.states import State as TaskState
from servers.capabilities.report import parse
from servers.models import Server
from servers.services import capabilities
from tests.dockerops import sample
from tests.support import reports

Step = DockerRestore.Step


def server(name: str = "shop-1") -> Server:
    found, _made = Server.objects.get_or_create(
        name=name, defaults={"kind": Server.Kind.LOCAL if name == "shop-1" else "ssh", "state": Server.State.READY}
    )
    if capabilities.latest(found) is None:
        capabilities.record(server=found, report=parse(reports.debian()), taken_at=timezone.now())
    return found


def archive(name: str = "shop-2026", **more: Any) -> Archive:
    """An archive of a Docker job that nobody has looked into."""
    pool, _made = StoragePool.objects.get_or_create(name="pool", defaults={"path": "/srv/pool"})
    repository, _made = Repository.objects.get_or_create(name="main", defaults={"pool": pool, "path": "/srv/pool/main"})
    given = {
        "server": server(),
        "server_name": "shop-1",
        "job_name": "shop",
        "backup_config": {"source_kind": "docker"},
    }
    return Archive.objects.create(
        repository=repository,
        name=name,
        borg_id=f"{Archive.objects.count():064}",
        started_at=timezone.now(),
        **{**given, **more},
    )


def draft(by: Any, step: Step = Step.ARCHIVE, contents: Contents | None = None, **more: Any) -> DockerRestore:
    """A draft that has reached a step: all before it is answered."""
    answers: dict[str, Any] = {"archive": more.pop("archive", None) or archive()}
    if step >= Step.CHOICE:
        answers["contents"] = (contents or sample.contents()).public().as_json()
    if step >= Step.CONFLICTS:
        answers |= {"choice": Choice().as_json(), "options": Options().as_json()}
    if step >= Step.OPTIONS:
        answers |= {"conflicts": [], "conflicts_at": timezone.now(), "inventory": sample.empty()}
        # What the sample asks wherever it goes: a capability, and a file of /etc.
        answers |= {"consents": ["host:probe-1", "system:/etc/app.conf", "unfilled:kiosk_files"]}
    answers |= {"token": "a1" * 16}
    answers |= {"archive_name": answers["archive"].name, "server": server(), "server_name": "shop-1", **more}
    return DockerRestore.objects.create(requested_by=by, step=step, **answers)


def conflicting(by: Any, there: dict[str, Any] | None = None, **more: Any) -> DockerRestore:
    """A draft whose target was checked: on the engine of the sample everything is in the way."""
    inventory = sample.inventory(there if there is not None else sample.there())
    contents, options = sample.contents(), more.pop("options", Options())
    found = conflicts.find(contents, inventory, Choice(), options, own=True)
    consents = [one.consent for one in found if one.consent] if more.pop("agreed", False) else []
    return draft(
        by,
        Step.OPTIONS,
        contents,
        **{
            "conflicts": [one.as_json() for one in found],
            "inventory": inventory.as_json(),
            "options": options.as_json(),
            "consents": consents,
            **more,
        },
    )


def record(by: Any, state: str = "done", **more: Any) -> DockerRestore:
    """One that was carried out, with its task and its plan."""
    row = conflicting(by, agreed=True)
    plan = planning.plan_of(row)
    outcome = {"done": TaskState.SUCCESS, "started": TaskState.RUNNING}.get(state, TaskState.FAILED)
    task = Task.objects.create(
        kind="docker_restore", queue="restore", state=outcome, subject="shop", server_ref=row.server_id
    )
    values = {"state": state, "plan": plan.as_json(), "plan_hash": plan.hash, "task_ref": task.pk, **more}
    DockerRestore.objects.filter(pk=row.pk).update(**values)
    row.refresh_from_db()
    return row
