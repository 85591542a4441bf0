"""What a task makes outside is removed: newest first, again and again, and never more than that."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from phpborg import mounts
from phpborg.tasks import leases, queue, reaper
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State


@pytest.fixture
def holding(tmp_path):
    """Parameters of a task that makes three files."""
    directory = tmp_path / "held"
    directory.mkdir()
    return {"directory": str(directory), "order": str(tmp_path / "order")}


@pytest.mark.django_db
@pytest.mark.parametrize("then", ["end", "crash"])
def test_released_in_reverse_however_it_ends(run_pending, holding, tmp_path, then):
    queue.enqueue("test_holds", params={**holding, "then": then})
    run_pending()
    assert (tmp_path / "order").read_text().split() == ["three", "two", "one"]
    assert os.listdir(holding["directory"]) == []
    assert not Lease.objects.held().exists()


@pytest.mark.django_db
def test_one_that_resists_stops_nobody_and_is_tried_again(run_pending, holding, tmp_path, monkeypatch):
    queue.enqueue("test_holds", params={**holding, "resist": ["two"]})
    (task,) = run_pending()
    assert task.state == State.SUCCESS
    assert os.listdir(holding["directory"]) == ["two"]
    held = Lease.objects.held().get()
    assert (held.attempts, held.error) == (1, f"{holding['directory']}/two resists")
    assert reaper.clean_abandoned() == 0  # not yet: it was tried a moment ago
    Lease.objects.update(tried_at=timezone.now() - timedelta(seconds=21))
    assert reaper.clean_abandoned() == 1
    (cleanup,) = run_pending()
    assert (cleanup.kind, cleanup.state, cleanup.is_system) == ("cleanup", State.NOTES, True)
    assert Lease.objects.held().get().attempts == 2
    monkeypatch.setenv("PHPBORG_TEST_YIELD", "1")
    Lease.objects.update(tried_at=timezone.now() - timedelta(hours=1))
    reaper.clean_abandoned()
    run_pending()
    assert not Lease.objects.held().exists()
    assert os.listdir(holding["directory"]) == []


@pytest.mark.django_db
def test_releasing_twice_is_harmless(tmp_path):
    task = queue.enqueue("test_quick")
    lease = leases.hold(task, "test_file", {"path": str(tmp_path / "x"), "order": str(tmp_path / "order")})
    assert leases.release(lease)
    assert leases.release(lease)


@pytest.mark.django_db
def test_what_nobody_can_remove_is_refused_before_it_exists():
    with pytest.raises(LookupError):
        leases.hold(queue.enqueue("test_quick"), "no_such_thing", {})
    assert not Lease.objects.exists()


@pytest.mark.django_db
def test_a_kept_thing_outlives_its_task_until_its_time(run_pending, tmp_path):
    task = queue.enqueue("test_quick")
    order = tmp_path / "order"
    data = {"path": str(tmp_path / "x"), "order": str(order)}
    lease = leases.hold(task, "test_file", data, keep_until=timezone.now() + timedelta(minutes=5))
    run_pending()
    assert reaper.clean_abandoned() == 0
    assert not order.exists()
    Lease.objects.filter(pk=lease.pk).update(keep_until=timezone.now() - timedelta(seconds=1))
    assert reaper.clean_abandoned() == 1
    run_pending()
    assert order.read_text() == "x\n"
    assert not Lease.objects.held().exists()


@pytest.mark.django_db
def test_things_of_another_host_are_left_to_it():
    task = queue.enqueue("test_quick")
    Task.objects.update(state=State.LOST, finished_at=timezone.now())
    Lease.objects.create(task=task, kind="directory", host="elsewhere", data={"path": "/nowhere"})
    assert reaper.clean_abandoned() == 0


def test_a_directory_goes_with_what_cannot_be_written(settings):
    base = leases.private_directory("tmp") / leases.new_token()
    (base / "a/b").mkdir(parents=True)
    (base / "a/b/file").write_text("x")
    (base / "a/b").chmod(0o500)
    (base / "a").chmod(0o500)
    leases.remove_directory({"path": str(base)})
    assert not base.exists()
    leases.remove_directory({"path": str(base)})


def test_a_link_is_removed_and_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").write_text("x")
    link = leases.private_directory("tmp") / leases.new_token()
    link.symlink_to(target)
    leases.remove_directory({"path": str(link)})
    assert not link.is_symlink()
    inside = leases.private_directory("tmp") / leases.new_token()
    inside.mkdir()
    (inside / "link").symlink_to(target)
    leases.remove_directory({"path": str(inside)})
    assert (target / "file").read_text() == "x"


@pytest.mark.parametrize("path", ["/etc", "/etc/passwd", "/", "relative", "/tmp"])
def test_nothing_outside_var_is_ever_removed(path):
    with pytest.raises(ValueError, match="is not below"):
        leases.remove_directory({"path": path})


def test_var_itself_and_what_climbs_out_of_it_are_refused(settings):
    for path in (settings.VAR_DIR, f"{settings.VAR_DIR}/..", f"{settings.VAR_DIR}/tmp/../../x"):
        with pytest.raises(ValueError, match="is not below"):
            leases.remove_directory({"path": str(path)})


def test_a_mount_inside_stops_the_removal(monkeypatch):
    base = leases.private_directory("tmp") / leases.new_token()
    (base / "mounted").mkdir(parents=True)
    (base / "mounted/file").write_text("x")
    monkeypatch.setattr(mounts, "mounted", lambda: (mounts.Mounted(base / "mounted", "ext4", "/dev/x"),))
    with pytest.raises(OSError, match="mounted in it"):
        leases.remove_directory({"path": str(base)})
    assert (base / "mounted/file").exists()


def test_a_process_is_named_by_its_start_time_and_ends():
    # Who starts the tests in the background makes its children ignore SIGINT: this one hears it.
    hears = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"import signal, time; {hears}; print(flush=True); time.sleep(60)"
    child = subprocess.Popen(
        [sys.executable, "-c", code], process_group=0, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout.readline()
    started = leases.process_started_at(child.pid)
    assert started
    leases.end_process({"pid": child.pid, "started": "1"})  # somebody else's
    assert child.poll() is None
    begun = time.monotonic()
    leases.end_process({"pid": child.pid, "started": started})
    assert time.monotonic() - begun < 5
    assert leases.process_started_at(child.pid) == ""  # a zombie has ended
    child.wait()
    leases.end_process({"pid": child.pid, "started": started})
    leases.end_process({})
