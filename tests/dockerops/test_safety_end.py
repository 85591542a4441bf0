"""The safety archive of a restore goes with its protection, by the door of all archives, unless somebody wants it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backups.models import Archive
from backups.services import archives
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.run_errors import StillUndoing
from dockerops.services import protection, safety_end
from phpborg.accounts.models import User
from phpborg.tasks import leases
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from tests.dockerops import rows

ClientOf = Callable[[User], Client]
pytestmark = pytest.mark.django_db


class FakeEngine:
    """A helper that lets everything go."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def forget(self) -> dict[str, Any]:
        return {"removed": [], "problems": []}


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "EngineAt", FakeEngine)
    monkeypatch.setattr(protection, "host_for", lambda server: None)


def restored(by: User | None = None, **more: Any) -> tuple[DockerRestore, Archive]:
    """One whose former state is kept, with its archive; both are written down."""
    until = timezone.now() + timedelta(hours=5)
    row = rows.record(by, protected_until=until)
    task = Task.objects.get(pk=row.task_ref)
    config = {"source_kind": "files", "before_docker_restore": str(row.pk)}
    made = rows.archive(f"before-{row.token[:8]}", **{"job_name": "", "backup_config": config, **more})
    told = {"restore": str(row.pk), "server": str(row.server_id), "socket": "/x", "token": row.token}
    leases.hold(task, protection.KEPT, told, keep_until=until)
    safety = {"restore": str(row.pk), "repository": str(made.repository_id), "archive": f"before-{row.token[:8]}"}
    leases.hold(task, safety_end.LEASE, safety, keep_until=until)
    return row, made


class FakeContext:
    """A task that runs."""

    def __init__(self, row: DockerRestore) -> None:
        self.params = {"docker_restore": str(row.pk)}

    def phase(self, name: str) -> None:
        pass

    def step(self, code: str, title: str) -> Any:
        return nullcontext({})


def forget(row: DockerRestore) -> None:
    protection.carry_out(FakeContext(row))  # type: ignore[arg-type]


def is_going(archive: Archive) -> bool:
    """In the trash, with the task that takes it out of the repository."""
    archive.refresh_from_db()
    asked = Task.objects.active().filter(kind=archives.DELETE, archive_ref=archive.pk).exists()
    assert asked == (archive.trashed_at is not None)
    return asked


def test_fake_it_goes_when_somebody_removes_the_protection() -> None:
    row, made = restored()
    forget(row)
    assert is_going(made)
    assert not Lease.objects.held().exists()


def test_it_goes_by_itself_when_its_window_ends() -> None:
    _row, made = restored()
    Lease.objects.filter(kind=safety_end.LEASE).update(keep_until=timezone.now() - timedelta(seconds=1))
    (due,) = Lease.objects.abandoned()
    assert leases.release(due)
    assert is_going(made)


def test_one_of_a_restore_that_failed_goes_with_the_same_window() -> None:
    row, made = restored()
    DockerRestore.objects.filter(pk=row.pk).update(state="rolled_back", protected_until=None)
    leases.release_all(safety_end.held(row))
    assert is_going(made)


def pinned(archive: Archive) -> None:
    archives.set_pinned(archive=archive, pinned=True)


def proven(archive: Archive) -> None:
    Archive.objects.filter(pk=archive.pk).update(proven_at=timezone.now())


def renamed(archive: Archive) -> None:
    Archive.objects.filter(pk=archive.pk).update(name="precious")


def being_read(archive: Archive) -> None:
    Task.objects.create(kind="docker_look", queue="quick", state=State.RUNNING, archive_ref=archive.pk)


def in_a_draft(archive: Archive) -> None:
    rows.draft(None, archive=archive)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [(pinned, "pinned"), (proven, "proven"), (renamed, "another name"), (being_read, "in use"), (in_a_draft, "in use")],
)
def test_one_that_somebody_wants_stays_and_the_page_says_so(
    client_of: ClientOf, bob: User, wanted: Callable[[Archive], None], why: str
) -> None:
    row, made = restored(bob)
    browser = client_of(bob)
    assert "It is deleted by itself on" in page(browser, row)
    wanted(made)
    assert "is deleted as well" not in question(browser, row)
    forget(row)
    assert not is_going(made)
    assert not Lease.objects.held().exists()
    text = page(browser, row)
    assert "stays until somebody deletes it: " in text
    assert why in text


def page(browser: Client, row: DockerRestore) -> str:
    return " ".join(browser.get(row.get_absolute_url()).content.decode().split())


def question(browser: Client, row: DockerRestore) -> str:
    return browser.post(reverse("docker-forget", args=[row.pk])).content.decode()


def test_the_question_says_that_it_goes(client_of: ClientOf, bob: User) -> None:
    row, made = restored(bob)
    assert f"The archive {made.name} is deleted as well" in question(client_of(bob), row)


def test_while_its_restore_is_undone_it_stays() -> None:
    row, made = restored()
    task = Task.objects.create(kind="docker_rollback", queue="restore", state=State.RUNNING)
    DockerRestore.objects.filter(pk=row.pk).update(rollback_task=task.pk)
    (lease,) = safety_end.held(row)
    with pytest.raises(StillUndoing):
        protection.let_go_archive(lease.data)
    assert not leases.release(lease)
    assert not is_going(made)
    Task.objects.filter(pk=task.pk).update(state=State.SUCCESS)
    assert leases.release(lease)
    assert is_going(made)


def test_one_that_was_found_after_a_kill_before_it_was_recorded_goes_too() -> None:
    row, made = restored()
    Archive.objects.filter(pk=made.pk).update(backup_config={}, job=None)
    other = rows.archive("before-something", backup_config={}, job_name="")
    forget(row)
    assert is_going(made)
    assert not is_going(other)


def test_the_review_says_that_it_is_deleted(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob, agreed=True, options=Options(protect="archive"))
    text = client_of(bob).get(reverse("docker-review", args=[row.pk])).content.decode()
    assert "It is deleted with what is kept aside" in " ".join(text.split())
