"""Rows for the pages: an archive of the sample project, and a draft of it at any step."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from backups.models import Archive, Repository, StoragePool
from dockerops.choice import Choice
from dockerops.manifest import Contents
from dockerops.models import DockerRestore
from dockerops.options import Options
from servers.models import Server
from tests.dockerops import sample

Step = DockerRestore.Step


def server(name: str = "shop-1") -> Server:
    found, _made = Server.objects.get_or_create(
        name=name, defaults={"kind": Server.Kind.LOCAL if name == "shop-1" else "ssh", "state": Server.State.READY}
    )
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
    answers |= {"archive_name": answers["archive"].name, "server": server(), "server_name": "shop-1", **more}
    return DockerRestore.objects.create(requested_by=by, step=step, **answers)
