"""Plans of proofs: set, due once, overdue; their pages for each of the four people; the command; the dashboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backups.models import Archive, BackupJob, Repository, StoragePool
from notifications.models import FailureNotice, MailSettings
from phpborg.accounts.models import User
from phpborg.errors import InvalidInput
from phpborg.scheduling.cron import CronInvalid
from phpborg.tasks import registry
from phpborg.tasks.errors import AlreadyActive
from phpborg.tasks.models import Task
from phpborg.tasks.states import State as TaskState
from recovery import clock
from recovery.checks.base import Query
from recovery.errors import ArchiveGone
from recovery.models import Depth, Proof, ProofPlan
from recovery.proof_errors import NothingToProve
from recovery.services import proof_plan, proof_schedules, proofs
from servers.models import Server

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
State = Proof.State


@pytest.fixture
def nightly(db: None) -> BackupJob:
    pool = StoragePool.objects.create(name="pool", path="/srv/pool")
    repository = Repository.objects.create(pool=pool, name="main", path="/srv/pool/main", encryption="none")
    server = Server.objects.create(name="web", kind=Server.Kind.LOCAL, state=Server.State.READY)
    return BackupJob.objects.create(name="nightly", slug="nightly", server=server, repository=repository)


@pytest.fixture
def archive(nightly: BackupJob) -> Archive:
    return make_archive(nightly, 1)


def make_archive(job: BackupJob, number: int, **more: Any) -> Archive:
    values: dict[str, Any] = {
        "name": f"nightly-{number}",
        "borg_id": f"{number:064x}",
        "started_at": timezone.now() - timedelta(hours=number),
        "grade": "success",
        "job_name": job.name,
    }
    return Archive.objects.create(repository=job.repository, job=job, server=job.server, **{**values, **more})


def ended(proof: Proof, state: TaskState, code: str = "") -> Proof:
    """Its task has ended so, as the runner tells everybody."""
    Task.objects.filter(pk=proof.task_ref).update(state=state, error_code=code, finished_at=timezone.now())
    registry.task_finished.send_robust(sender=Task, task=Task.objects.get(pk=proof.task_ref))
    proof.refresh_from_db()
    return proof


def begun(job: BackupJob) -> Proof:
    proof = proofs.draft(job=job)
    proofs.start(proof=proof)
    proofs.begins(proof)
    return proof


def good(job: BackupJob) -> Proof:
    proof = begun(job)
    proof.reached = Depth.READ
    proofs.keep(proof)
    proofs.stamp(proof)
    return ended(proof, TaskState.SUCCESS)


# --- when ----------------------------------------------------------------------------------------


def test_a_plan_is_due_once_and_catches_up_once(nightly, archive):
    plan = proof_schedules.set_plan(job=nightly, cron="0 4 * * *", zone="UTC")
    assert plan.next_run_at > timezone.now()
    ProofPlan.objects.update(next_run_at=datetime(2026, 1, 1, 4, tzinfo=UTC))
    assert clock.start_due_proofs() == 1
    assert clock.start_due_proofs() == 0
    (proof,) = Proof.objects.all()
    assert (proof.archive, proof.trigger, proof.state) == (archive, "schedule", State.WAITING)
    plan.refresh_from_db()
    assert plan.next_run_at > timezone.now()


def test_a_proof_that_still_goes_on_is_not_disturbed(nightly, archive):
    plan = proof_schedules.set_plan(job=nightly, cron="0 4 * * *", zone="UTC")
    begun(nightly)
    with pytest.raises(AlreadyActive):
        proofs.start(proof=proofs.draft(job=nightly))
    assert proofs.start_scheduled(plan) is None
    assert Proof.objects.count() == 1


def test_a_job_without_a_good_archive_fails_so_that_somebody_hears_of_it(nightly, run_pending):
    plan = proof_schedules.set_plan(job=nightly, cron="0 4 * * *", zone="UTC")
    make_archive(nightly, 1, grade="incomplete")
    with pytest.raises(NothingToProve):
        proofs.draft(job=nightly)
    proofs.start_scheduled(plan)
    (task,) = run_pending("proof")
    assert (task.state, task.error_code) == (TaskState.FAILED, "PRF-01")
    assert Proof.objects.get().state == State.FAILED


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": 4},
        {"sample_percent": 0},
        {"sample_percent": 101},
        {"overdue_days": 0},
        {"zone": "Mars/Olympus"},
        {"docker": "tcp://192.0.2.1:2375"},
        {"depth": Depth.READ, "queries": [Query("a", "SELECT 1")]},
    ],
)
def test_what_cannot_be_a_plan(nightly, wrong):
    with pytest.raises(InvalidInput):
        proof_schedules.set_plan(job=nightly, **{"cron": "0 4 * * *", "zone": "UTC", **wrong})
    with pytest.raises(CronInvalid):
        proof_schedules.set_plan(job=nightly, cron="nonsense", zone="UTC")
    assert not ProofPlan.objects.exists()


def test_switched_off_or_by_hand_it_has_no_next_time(nightly):
    assert proof_schedules.set_plan(job=nightly, cron="", zone="UTC").next_run_at is None
    assert proof_schedules.set_plan(job=nightly, cron="0 4 * * *", zone="UTC", enabled=False).next_run_at is None
    assert ProofPlan.objects.count() == 1


def test_the_plan_that_is_shown_follows_the_depth(nightly, archive):
    def codes(depth: int, **more: Any) -> list[str]:
        return [
            step.code for step in proof_plan.steps(proofs.draft(job=nightly, choices=proofs.Choices(depth, **more)))
        ]

    assert codes(Depth.LIST) == ["view", "list", "stamp"]
    assert codes(Depth.READ) == ["view", "list", "read", "stamp"]
    query = Query("a", "SELECT 1").as_json()
    assert codes(Depth.START, queries=(query,)) == [
        "view",
        "list",
        "read",
        "look",
        "image",
        "start",
        "queries",
        "stamp",
    ]


def test_an_archive_that_is_gone_is_not_proven(archive):
    archive.missing_at = timezone.now()
    with pytest.raises(ArchiveGone):
        proofs.draft(archive=archive)


# --- how it stands -------------------------------------------------------------------------------


def test_overdue_from_the_age_of_the_newest_good_proof(nightly, archive):
    proof_schedules.set_plan(job=nightly, cron="0 4 1 * *", zone="UTC", overdue_days=30)
    old = timezone.now() - timedelta(days=31)
    assert not proofs.standing_of(nightly).is_overdue  # it was asked for just now
    ProofPlan.objects.update(created_at=old)
    assert proofs.standing_of(nightly).is_overdue
    proof = good(nightly)
    standing = proofs.standing_of(nightly)
    assert (standing.is_overdue, standing.last, standing.last_good) == (False, proof, proof)
    Proof.objects.update(ended_at=old)
    assert proofs.standing_of(nightly).is_overdue
    ProofPlan.objects.update(overdue_days=None)
    assert not proofs.standing_of(nightly).is_overdue


def test_what_was_disproven_loses_its_stamp_and_what_could_not_be_tried_does_not(nightly, archive):
    def stamped() -> bool:
        archive.refresh_from_db()
        return archive.proven_at is not None

    good(nightly)
    assert stamped()
    ended(begun(nightly), TaskState.FAILED, "HLP-17")
    assert stamped()
    ended(begun(nightly), TaskState.CANCELLED)
    assert stamped()
    failed = ended(begun(nightly), TaskState.FAILED, "PRF-06")
    assert (failed.state, failed.error_code) == (State.FAILED, "PRF-06")
    assert not stamped()
    standing = proofs.standing_of(nightly)
    assert standing is None  # no plan, nothing to stand


def test_an_end_of_which_nobody_told_is_noticed(nightly, archive):
    proof = begun(nightly)
    Task.objects.all().delete()
    assert proofs.notice_ends() == 1
    proof.refresh_from_db()
    assert (proof.state, proof.error_code) == (State.FAILED, "TSK-01")


def test_a_failing_proof_is_told_apart_from_the_backups_of_its_job(nightly, archive):
    mail = MailSettings.load()
    mail.enabled, mail.recipients = True, "ops@example.net"
    mail.save()
    ended(begun(nightly), TaskState.FAILED, "PRF-06")
    ended(begun(nightly), TaskState.FAILED, "PRF-06")
    assert Task.objects.filter(kind="mail_send").count() == 1
    backup = Task.objects.create(kind="backup", queue="backup", state="success", job_ref=nightly.pk)
    registry.task_finished.send_robust(sender=Task, task=backup)
    assert FailureNotice.objects.count() == 1  # a good backup is no good proof
    good(nightly)
    assert FailureNotice.objects.count() == 0
    assert [task.params["letter"] for task in Task.objects.filter(kind="mail_send").order_by("created_at")] == [
        "failure",
        "recovered",
    ]


# --- pages ---------------------------------------------------------------------------------------


def test_everybody_with_an_account_reads(nightly, archive, client_of, alice, bob, diane, charlie):
    proof_schedules.set_plan(job=nightly, cron="0 4 1 * *", zone="UTC")
    proof = good(nightly)
    pages = [reverse("proofs"), reverse("job-proofs", args=[nightly.pk]), reverse("proof", args=[proof.pk])]
    pages += [archive.get_absolute_url(), nightly.get_absolute_url(), reverse("archives")]
    for address in pages:
        for person in (alice, bob, diane):
            assert client_of(person).get(address).status_code == 200, (address, person)
        assert client_of(charlie).get(address).status_code == 302
    assert "Proven" in client_of(diane).get(reverse("archives")).content.decode()


@pytest.mark.parametrize(
    ("name", "right"),
    [("job-prove", "operate"), ("job-proof-plan", "administer"), ("job-proof-remove", "administer")],
)
def test_changes_need_the_right(nightly, archive, client_of, alice, bob, diane, name, right):
    address = reverse(name, args=[nightly.pk])
    assert client_of(diane).post(address).status_code == 403
    assert (client_of(bob).post(address).status_code == 403) == (right == "administer")
    assert client_of(alice).post(address).status_code != 403
    assert client_of(diane).post(reverse("archive-prove", args=[archive.pk])).status_code == 403


FORM = {
    "mode": "cron",
    "cron": "0 4 * * 0",
    "zone": "Europe/Paris",
    "depth": "3",
    "sample_percent": "20",
    "queries": "@ shop\nSELECT 1\n= 1",
    "overdue_days": "14",
    "enabled": "on",
}


def test_a_plan_is_set_on_its_page(nightly, archive, client_of, alice):
    browser, address = client_of(alice), reverse("job-proof-plan", args=[nightly.pk])
    assert browser.get(address).status_code == 200
    answer = browser.post(address, FORM)
    assert (answer.status_code, answer["Location"]) == (303, reverse("job-proofs", args=[nightly.pk]))
    plan = ProofPlan.objects.get()
    assert (plan.depth, plan.sample_percent, plan.overdue_days, plan.zone) == (3, 20, 14, "Europe/Paris")
    assert plan.queries == [{"database": "shop", "sql": "SELECT 1", "expected": ["1"]}]
    shown = browser.get(address).content.decode()
    assert "@ shop" in shown
    again = browser.get(reverse("job-proof-runs", args=[nightly.pk]), FORM).content.decode()
    assert again.count("<li>") == 10
    assert browser.post(address, {**FORM, "preview": "1"}).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"queries": "SELECT 1"}, "line 1"),
        ({"depth": "2"}, "choose that depth"),
        ({"cron": "61 4 * * 0"}, "field__error"),
        ({"sample_percent": "0"}, "field__error"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(nightly, client_of, alice, wrong, words):
    answer = client_of(alice).post(reverse("job-proof-plan", args=[nightly.pk]), {**FORM, **wrong})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not ProofPlan.objects.exists()


def test_a_proof_begins_with_a_click_and_shows_its_page(nightly, archive, client_of, bob, diane):
    for address in (reverse("job-prove", args=[nightly.pk]), reverse("archive-prove", args=[archive.pk])):
        answer = client_of(bob).post(address)
        proof = Proof.objects.active().get()
        assert (answer.status_code, answer["Location"]) == (303, proof.get_absolute_url())
        cancel = reverse("task-cancel", args=[proof.task_ref])
        for person in (bob, diane):
            text = client_of(person).get(proof.get_absolute_url()).content.decode()
            assert (cancel in text.split('id="taskbar"')[0]) == (person == bob)
        ended(proof, TaskState.CANCELLED)


def test_the_dashboard_says_what_failed_and_what_is_overdue(nightly, archive, client_of, diane):
    proof_schedules.set_plan(job=nightly, cron="0 4 1 * *", zone="UTC", overdue_days=30)
    ProofPlan.objects.update(created_at=timezone.now() - timedelta(days=31))
    words = "Jobs whose proof of restore is overdue."
    assert words in client_of(diane).get(reverse("dashboard")).content.decode()
    ended(begun(nightly), TaskState.FAILED, "PRF-03")
    shown = client_of(diane).get(reverse("dashboard")).content.decode()
    assert "Jobs whose last proof of restore failed." in shown
    assert words not in shown


# --- command -------------------------------------------------------------------------------------


def run(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("proof", *words, "--json", stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_the_command_plans_shows_and_lists(nightly, archive, tmp_path):
    file = tmp_path / "queries"
    file.write_text("@ shop\nSELECT 1\n= 1")
    words = ("--cron", "0 4 * * 0", "--zone", "UTC", "--depth", "start", "--queries", str(file))
    planned = run("schedule", "nightly", *words)
    assert (planned["depth"], planned["overdue_days"]) == ("start", 35)
    assert run("schedule", "nightly", "--percent", "10", "--overdue-days", "0")["queries"] == planned["queries"]
    assert ProofPlan.objects.get().overdue_days is None
    dry = run("run", "nightly", "--dry-run")
    assert (dry["archive"], dry["steps"][0]["code"]) == (archive.name, "view")
    assert not Proof.objects.exists()
    proof = good(nightly)
    (standing,) = run("list")["jobs"]
    assert (standing["job"], standing["last_state"], standing["overdue"]) == ("nightly", "proven", False)
    (listed,) = run("list", "nightly")["proofs"]
    assert (listed["id"], listed["reached"]) == (str(proof.pk), "read")
    assert run("show", str(proof.pk)[:8])["evidence"] == {}
    run("unschedule", "nightly")
    assert run("list")["jobs"] == []


def test_the_command_ends_with_the_code_of_its_task(nightly, archive):
    """The repository is not there: said, and told apart from an archive that was disproven."""
    with pytest.raises(SystemExit) as raised:
        run("run", archive.name, "--here", "--depth", "list")
    assert raised.value.code == 1
    assert Proof.objects.get().state == State.FAILED
    with pytest.raises(SystemExit) as raised:
        run("run", "nightly", "--percent", "10", "--depth", "read", "--timeout", "0", "--wait")
    assert raised.value.code == 4
