"""Proofs of real archives: good ones at every depth, damaged ones caught, nothing left behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from backups.models import Archive, BackupJob
from notifications.models import MailSettings
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State as TaskState
from recovery import clock
from recovery.checks.base import Query
from recovery.models import Depth, Proof, ProofPlan
from recovery.services import proof_plan, proof_schedules, proofs
from tests.lab.engine import Engine
from tests.proofs.conftest import ROWS, nothing_is_left
from tests.support import own_image, registry
from tests.support.archives import Storage
from tests.support.smtp import MailSink, mail_sink

__all__ = ["mail_sink"]
pytestmark = [pytest.mark.real]
Run = Callable[..., list[Task]]
State = Proof.State


def of_job(archive: Archive, job: BackupJob, **fields: object) -> Archive:
    Archive.objects.filter(pk=archive.pk).update(job=job, job_name=job.name, **fields)
    archive.refresh_from_db()
    return archive


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with names of every kind and some data that does not compress."""
    place = tmp_path / "files"
    place.mkdir()
    some = random.Random(7)
    for number in range(40):
        (place / f"file {number}").write_bytes(some.randbytes(20_000))
    (place / "pp:name").write_bytes(b"tea")
    (place / "empty").touch()
    (place / "other name").hardlink_to(place / "file 1")
    (place / "link").symlink_to("/etc/passwd")
    with open(bytes(place) + b"/not \xff utf-8", "wb") as file:
        file.write(b"tea" * 1000)
    return place


def prove(archive: Archive, run: Run, **choices: object) -> Proof:
    proof = proofs.draft(archive=archive, choices=proofs.Choices(**choices))  # type: ignore[arg-type]
    proofs.start(proof=proof)
    run("proof")
    proof.refresh_from_db()
    archive.refresh_from_db()
    return proof


def damage(storage: Storage) -> None:
    """Some bytes in the middle of the largest segment are not what they were."""
    segments = [path for path in (Path(storage.repository.path) / "data").rglob("*") if path.is_file()]
    largest = max(segments, key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        file.write(b"\xff" * 64)


# --- what borg can say ---------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "percent"), [(Depth.LIST, 100), (Depth.READ, 100), (Depth.READ, 20)])
def test_a_good_archive_is_proven_and_stamped(storage, files, run_pending, depth, percent):
    archive = storage.archive(files)
    Archive.objects.filter(pk=archive.pk).update(files=44)
    archive.refresh_from_db()
    proof = prove(archive, run_pending, depth=depth, sample_percent=percent)
    assert (proof.state, proof.error_code, proof.error_facts, proof.error_detail) == (State.PROVEN, "", {}, "")
    assert (proof.reached, archive.proven_depth) == (depth, depth)
    assert archive.proven_at is not None
    assert archive.proven_seconds == proof.duration_seconds
    assert list(Archive.objects.proven()) == [archive]
    listed = proof.evidence["list"]
    assert (listed["files"], listed["recorded_files"]) == (43, 44)  # borg counts a further name of a file
    assert listed["bytes"] == 40 * 20_000 + 3 + 3000
    if depth == Depth.READ:
        read = proof.evidence["read"]
        assert read["bytes"] >= listed["bytes"] * percent // 100
        assert (read["files"] < 43) == (percent < 100)
    assert nothing_is_left(storage)


def test_the_same_seed_takes_the_same_files(storage, files, run_pending):
    archive = storage.archive(files)
    seen = []
    for _ in range(2):
        proof = proofs.draft(archive=archive, choices=proofs.Choices(depth=Depth.READ, sample_percent=10))
        proof.seed = "the same"
        proofs.start(proof=proof)
        run_pending("proof")
        proof.refresh_from_db()
        seen.append(proof.evidence["read"])
    assert seen[0] == seen[1]
    assert seen[0]["files"] == len(seen[0]["rows"])


@pytest.mark.parametrize("percent", [100, 99])
def test_a_damaged_chunk_is_not_seen_by_the_list_and_caught_by_reading(storage, files, run_pending, percent):
    """Row D6, show 6."""
    archive = storage.archive(files)
    damage(storage)
    assert prove(archive, run_pending, depth=Depth.LIST).state == State.PROVEN
    proof = prove(archive, run_pending, depth=Depth.READ, sample_percent=percent)
    assert (proof.state, proof.error_code) == (State.FAILED, "PRF-03")
    assert proof.error_detail
    assert proof.evidence["list"]["files"] == 43
    assert archive.proven_at is None
    assert nothing_is_left(storage)


def test_fewer_files_than_were_written(storage, files, run_pending):
    archive = storage.archive(files)
    Archive.objects.filter(pk=archive.pk).update(files=1000)
    archive.refresh_from_db()
    proof = prove(archive, run_pending, depth=Depth.LIST)
    assert (proof.state, proof.error_code) == (State.FAILED, "PRF-02")


@pytest.mark.parametrize(("end", "state"), [("-- Dump completed on today\n", State.PROVEN), ("", State.FAILED)])
def test_a_dump_that_ends_too_early(storage, run_pending, tmp_path, end, state):
    (tmp_path / "mysql").mkdir()
    (tmp_path / "mysql" / "0001-shop.sql").write_text("INSERT INTO kettle VALUES (1);\n" + end)
    archive = storage.archive(tmp_path, cwd=tmp_path, paths=(b"mysql",))
    included = [{"kind": "database", "name": "shop", "path": "mysql/0001-shop.sql"}]
    record = {"engine": "mysql", "method": "logical", "included": included}
    Archive.objects.filter(pk=archive.pk).update(backup_config={"database": record})
    archive.refresh_from_db()
    proof = prove(archive, run_pending, depth=Depth.START)
    assert proof.state == state
    if state == State.FAILED:
        assert proof.error_code == "PRF-04"
    else:
        # Depth 3 was asked for: what was reached is said.
        assert proof.reached == archive.proven_depth == Depth.READ
        (note,) = proof.evidence["notes"]
        assert "dumps" in note["words"]


# --- databases -----------------------------------------------------------------------------------


def started(engine: Engine, product: str, *queries: Query) -> dict[str, object]:
    image = own_image.postgresql(engine) if product == "pg" else own_image.mariadb(engine)
    asked = tuple(query.as_json() for query in queries)
    return {"depth": Depth.START, "docker": str(engine.socket), "image": image, "queries": asked}


def question(product: str, *expected: str) -> Query:
    database = "postgres" if product == "pg" else "shop"
    return Query(database, "SELECT count(*), min(id) FROM kettle", expected or None)


@pytest.mark.parametrize("product", ["pg", "my"])
def test_a_database_is_started_checked_and_asked(engine, storage, data, run_pending, product):
    archive = storage.archive(data / product)
    proof = prove(archive, run_pending, **started(engine, product, question(product, f"{ROWS} | 1")))
    assert (proof.state, proof.error_code, proof.error_detail) == (State.PROVEN, "", "")
    assert archive.proven_depth == Depth.START
    (seen,) = proof.evidence["databases"]
    assert seen["problems_count"] == 0
    assert seen["tables"] > 10
    assert seen["upper_bytes"] is not None
    (asked,) = seen["queries"]
    assert (asked["answer"], asked["is_good"]) == ([f"{ROWS} | 1"], True)
    assert nothing_is_left(storage)


@pytest.mark.parametrize("product", ["pg", "my"])
def test_a_data_file_that_was_cut_off_is_caught_by_the_scheduled_proof_and_alarms(
    engine, storage, data, job, run_pending, mail_sink: MailSink, product
):
    """Row D6, show 6: borg gives back exactly what it was given, so only the start can tell."""
    mail = MailSettings.load()
    mail.enabled, mail.host, mail.port, mail.security = True, "127.0.0.1", mail_sink.port, "none"
    mail.sender, mail.recipients = "phpborg@example.net", "ops@example.net"
    mail.save()
    archive = of_job(storage.archive(data / f"{product}-cut"), job)
    proof_schedules.set_plan(
        job=job,
        cron="0 4 * * *",
        zone="UTC",
        depth=Depth.START,
        docker=str(engine.socket),
        image=own_image.postgresql(engine) if product == "pg" else own_image.mariadb(engine),
    )
    ProofPlan.objects.update(next_run_at=timezone.now() - timedelta(minutes=1))
    assert clock.start_due_proofs() == 1
    assert clock.start_due_proofs() == 0
    run_pending()
    (proof,) = Proof.objects.all()
    assert (proof.state, proof.trigger, proof.archive_id) == (State.FAILED, "schedule", archive.pk)
    assert proof.error_code in ("PRF-05", "PRF-06"), (proof.error_code, proof.error_detail)
    assert "kettle" in proof.error_detail
    assert proof.reached == Depth.READ
    (letter,) = mail_sink.letters
    assert "nightly" in letter["Subject"]
    assert nothing_is_left(storage)


@pytest.mark.parametrize("product", ["pg", "my"])
def test_a_query_that_is_answered_otherwise_says_both(engine, storage, data, run_pending, product):
    archive = storage.archive(data / product)
    proof = prove(archive, run_pending, **started(engine, product, question(product, "7 | 1")))
    assert (proof.state, proof.error_code) == (State.FAILED, "PRF-07")
    assert set(proof.error_facts) == {"database", "number"}
    (asked,) = proof.evidence["databases"][0]["queries"]
    assert (asked["expected"], asked["answer"], asked["is_good"]) == (["7 | 1"], [f"{ROWS} | 1"], False)
    assert archive.proven_at is None


def test_a_query_of_a_database_that_is_not_there(engine, storage, data, run_pending):
    archive = storage.archive(data / "pg")
    proof = prove(archive, run_pending, **started(engine, "pg", Query("nowhere", "SELECT 1", ("1",))))
    assert (proof.state, proof.error_code) == (State.FAILED, "PRF-08")
    assert "nowhere" in proof.error_detail


def test_an_image_that_is_not_there_is_fetched_as_a_step_of_the_plan(engine, storage, data, run_pending):
    archive = storage.archive(data / "pg")
    with registry.serving(engine, own_image.postgresql(engine)) as name:
        choices = {**started(engine, "pg"), "image": name}
        proof = prove(archive, run_pending, **choices)
        assert (proof.state, proof.error_code, proof.error_detail) == (State.PROVEN, "", "")
        steps = proof_plan.steps(proof)
    assert [step.code for step in steps].index("image") < [step.code for step in steps].index("start")


def test_a_registry_that_cannot_be_reached_says_nothing_about_the_archive(engine, storage, data, run_pending):
    archive = storage.archive(data / "pg")
    prove(archive, run_pending, depth=Depth.READ)
    proof = prove(archive, run_pending, **{**started(engine, "pg"), "image": "127.0.0.1:1/none:15"})
    assert (proof.state, proof.error_code) == (State.FAILED, "HLP-16")
    assert "127.0.0.1:1/none:15 is not there and cannot be fetched" in proof.error_detail
    assert archive.proven_at is not None  # the stamp of the proof before


def test_a_task_that_was_cancelled_leaves_nothing_and_says_nothing(storage, files, run_pending):
    from phpborg.tasks import queue

    archive = storage.archive(files)
    proof = proofs.draft(archive=archive, choices=proofs.Choices())
    task = proofs.start(proof=proof)
    queue.cancel(task)
    proof.refresh_from_db()
    task.refresh_from_db()
    assert (task.state, proof.state) == (TaskState.CANCELLED, State.CANCELLED)
    assert not Lease.objects.held().exists()
