"""Open archives: mounted without a lock, shown page by page, closed whatever happened to the mount."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from backups.borg import view
from backups.models import Archive
from backups.services import repositories
from phpborg import mounts
from phpborg.accounts.models import User
from phpborg.tasks import reaper
from phpborg.tasks.models import Lease, Task
from recovery.models import BrowseSession
from recovery.services import browse
from tests.support.archives import Storage, storage

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]
Run = Callable[..., list[Task]]
ClientOf = Callable[[User], Client]
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32


@pytest.fixture
def archive(storage: Storage, tmp_path: Path) -> Archive:
    """An archive with a few odd names in its root."""
    source = tmp_path / "source"
    (source / "etc").mkdir(parents=True)
    (source / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (source / "picture.png").write_bytes(PNG)
    (source / "page.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>")
    Path(os.fsdecode(os.fsencode(source) + b"/caf\xe9")).write_bytes(b"odd")
    (source / "leak").symlink_to("/etc/passwd")
    return storage.archive(source, cwd=source, paths=(b".",))


@pytest.fixture
def opened(archive: Archive, run_pending: Run) -> Iterator[BrowseSession]:
    """The archive, open; closed at the end."""
    session = browse.open_archive(archive=archive)
    run_pending()
    session.refresh_from_db()
    assert session.state == BrowseSession.State.OPEN, Task.objects.get(pk=session.task_ref).log_tail
    yield session
    browse.close(session=session)


def nothing_left(storage: Storage) -> bool:
    """No mount, no view, no lease."""
    ours = mounts.mounts_below(browse.leases.private_directory("mounts"))
    views = list((Path(storage.pool.path) / ".views").iterdir())
    return not ours and not views and not Lease.objects.held().exists()


def test_closing_twice_leaves_nothing(storage: Storage, opened: BrowseSession) -> None:
    assert browse.close(session=opened)
    assert browse.close(session=opened)
    opened.refresh_from_db()
    assert opened.state == BrowseSession.State.CLOSED
    assert nothing_left(storage)


def test_the_folder_page_shows_every_name_once(opened: BrowseSession, bob: User, client_of: ClientOf) -> None:
    page = client_of(bob).get(reverse("browse", args=[opened.archive_id])).content.decode()
    for name in ("etc", "picture.png", "caf\ufffd", "leak"):
        assert f">{name}<" in page
    assert 'value="caf%E9"' in page


def test_a_file_that_is_not_utf8_downloads_byte_identical(
    opened: BrowseSession, bob: User, client_of: ClientOf
) -> None:
    answer = client_of(bob).get(reverse("browse-download", args=[opened.archive_id]), {"path": "caf%E9"})
    assert collected(answer) == b"odd"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_folder_downloads_as_tar(opened: BrowseSession, bob: User, client_of: ClientOf) -> None:
    answer = client_of(bob).get(reverse("browse-download", args=[opened.archive_id]), {"path": "etc", "format": "tar"})
    with tarfile.open(fileobj=io.BytesIO(collected(answer))) as tar:
        assert tar.getnames() == ["etc", "etc/hosts"]


@pytest.mark.parametrize(
    "path", ["leak", "..%2f..%2fetc%2fpasswd", "../../etc/passwd", "etc/../leak", "nothing", "%00"]
)
@pytest.mark.parametrize("route", ["browse-download", "browse-file", "browse-picture"])
def test_nothing_outside_the_archive_can_be_read(
    opened: BrowseSession, bob: User, client_of: ClientOf, path: str, route: str
) -> None:
    answer = client_of(bob).get(reverse(route, args=[opened.archive_id]), {"path": path})
    assert answer.status_code == 409
    assert b"root:" not in answer.content


def test_a_picture_is_shown_and_a_program_is_not(opened: BrowseSession, bob: User, client_of: ClientOf) -> None:
    client, route = client_of(bob), reverse("browse-picture", args=[opened.archive_id])
    answer = client.get(route, {"path": "picture.png"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert client.get(route, {"path": "page.svg"}).status_code == 409
    page = client.get(reverse("browse-file", args=[opened.archive_id]), {"path": "page.svg"}).content
    assert b"&lt;script&gt;" in page


def test_picking_in_two_folders_makes_one_draft(opened: BrowseSession, bob: User, client_of: ClientOf) -> None:
    client, route = client_of(bob), reverse("browse-select", args=[opened.archive_id])
    client.post(route, {"item": ["caf%E9"], "path": "", "then": "stay"})
    answer = client.post(route, {"item": ["etc/hosts"], "path": "etc", "then": "restore"}, follow=True)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "caf\ufffd" in page
    assert "etc/hosts" in page


def test_a_viewer_may_not_look_into_archives(opened: BrowseSession, diane: User, client_of: ClientOf) -> None:
    for route in ("browse", "browse-download", "browse-file"):
        assert client_of(diane).get(reverse(route, args=[opened.archive_id])).status_code == 403


def test_an_open_archive_blocks_no_backup_and_survives_deletion(
    storage: Storage, opened: BrowseSession, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "x").write_text("x")
    storage.archive(more, name="two")
    borg = repositories.borg_of(storage.repository)
    borg.delete(["one"])
    borg.compact(threshold=0)
    assert (browse.mountpoint_of(opened) / "etc/hosts").read_text() == "127.0.0.1 localhost\n"


def test_a_killed_mount_is_noticed_cleaned_and_opened_anew(
    storage: Storage, opened: BrowseSession, run_pending: Run, archive: Archive
) -> None:
    pid = view.mount_pid(Path(opened.mountpoint))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert browse.check_open() == 1
    opened.refresh_from_db()
    assert opened.state == BrowseSession.State.FAILED
    reaper.clean_abandoned()
    run_pending("cleanup")
    assert nothing_left(storage)
    again = browse.open_archive(archive=archive)
    run_pending("browse_open")
    again.refresh_from_db()
    assert again.state == BrowseSession.State.OPEN
    assert browse.close(session=again)


def test_nobody_looks_any_more(storage: Storage, opened: BrowseSession, run_pending: Run, settings: object) -> None:
    Lease.objects.held().update(keep_until=opened.opened_at)
    reaper.clean_abandoned()
    run_pending("cleanup")
    opened.refresh_from_db()
    assert opened.state == BrowseSession.State.CLOSED
    assert nothing_left(storage)


def collected(answer: object) -> bytes:
    """All of a streamed answer."""

    async def read() -> bytes:
        return b"".join([chunk async for chunk in answer])  # type: ignore[attr-defined]

    return asyncio.run(read())
