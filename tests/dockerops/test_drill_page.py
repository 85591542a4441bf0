"""The pages of a drill: its plan, the form's words, the evidence and who sees what of it; whose stamp an end takes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backups.models import Archive, BackupJob
from dockerops import drill_errors
from dockerops.drill_manifest import Isolated
from dockerops.plan import Step
from dockerops.services.drilling import DrillRun
from phpborg.accounts.models import User
from phpborg.tasks.states import State as TaskState
from recovery.models import Depth
from recovery.services import proof_plan, proofs
from servers.errors import DockerRefused
from tests.dockerops import sample
from tests.proofs.test_proof_plans import archive, begun, ended, nightly

__all__ = ["archive", "nightly"]
pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
HOSTILE = "<b>'; $(id)"


@pytest.fixture
def of_docker(nightly: BackupJob, archive: Archive) -> Archive:
    BackupJob.objects.filter(pk=nightly.pk).update(source_kind="docker")
    items = {"containers": [{"name": "a"}, {"name": "b"}], "volumes": [{"name": "v"}]}
    config = {"source_kind": "docker", "docker": {"actual_backed_up_items": items}}
    Archive.objects.filter(pk=archive.pk).update(backup_config=config)
    archive.refresh_from_db()
    return archive


def test_the_plan_is_the_drills(of_docker: Archive) -> None:
    choices = proofs.Choices(depth=Depth.START, queries=({"database": "db", "sql": "SELECT 1", "expected": None},))
    steps = proof_plan.steps(proofs.draft(archive=of_docker, choices=choices))
    codes = [step.code for step in steps]
    assert codes[-5:] == ["drill-states", "drill-databases", "drill-questions", "drill-remove", "stamp"]
    assert "look" not in codes
    assert next(step.facts for step in steps if step.code == "drill-start")["containers"] == "2"
    less = proof_plan.steps(proofs.draft(archive=of_docker, choices=proofs.Choices(depth=Depth.READ)))
    assert not [step for step in less if step.code.startswith("drill")]


def test_an_archive_of_files_is_looked_into_as_before(archive: Archive) -> None:
    steps = proof_plan.steps(proofs.draft(archive=archive, choices=proofs.Choices(depth=Depth.START)))
    assert "look" in [step.code for step in steps]


def test_the_form_says_how_questions_are_written(
    nightly: BackupJob, of_docker: Archive, client_of: ClientOf, alice: User
) -> None:
    text = client_of(alice).get(reverse("job-proof-plan", args=[nightly.pk])).content.decode()
    assert "@ SERVICE/DATABASE" in text
    assert "younger than 24 h" in text


def test_the_evidence_is_on_the_page_and_contents_are_for_those_who_operate(
    nightly: BackupJob, of_docker: Archive, client_of: ClientOf, bob: User, diane: User
) -> None:
    proof = begun(nightly)
    drill: dict[str, Any] = {
        "kind": "docker",
        "server": "web",
        "containers": [{"name": HOSTILE, "state": "exited", "exit_code": 7, "log": ["canary-of-the-log"]}],
        "missing": [
            {
                "where": "data",
                "words": "The volume is empty, and {expected} files were in it.",
                "facts": {"expected": "9"},
            }
        ],
        "databases": [{"container": "db", "engine": "postgresql", "tables": 77, "problems": ["could not read block"]}],
        "questions": [
            {"database": "db", "sql": "SELECT 1", "expected": ["Ada"], "answer": ["Grace"], "is_good": False}
        ],
        "times": {"first_healthy_seconds": 3.5, "all_healthy_seconds": 8, "checked_seconds": 9},
        "removed": {"complete": True},
    }
    proof.evidence = {"drill": drill}
    proofs.keep(proof)
    ended(proof, TaskState.FAILED, "DRL-05")
    for person, sees in ((diane, False), (bob, True)):
        text = client_of(person).get(proof.get_absolute_url()).content.decode()
        assert HOSTILE not in text
        for words in ("9 files were in it", "exit 7", "could not read block", "SELECT 1", "Not as expected", "77"):
            assert words in text, words
        secret = ("canary-of-the-log", "Ada", "Grace")
        assert [words in text for words in secret] == [sees] * len(secret)


def test_states_and_health_are_said_in_the_readers_language(
    nightly: BackupJob, of_docker: Archive, client_of: ClientOf, bob: User
) -> None:
    User.objects.filter(pk=bob.pk).update(language="fr")
    proof = begun(nightly)
    containers = [
        {"name": "a", "state": "exited", "exit_code": 7},
        {"name": "b", "state": "running", "health": "unhealthy"},
        {"name": "c", "state": None},
    ]
    databases = [{"container": "a", "engine": "postgresql", "version": "15.4"}]
    proof.evidence = {"drill": {"kind": "docker", "containers": containers, "databases": databases}}
    proofs.keep(proof)
    ended(proof, TaskState.FAILED, "DRL-05")
    bob.refresh_from_db()
    text = client_of(bob).get(proof.get_absolute_url()).content.decode()
    for words in ("arrêté", "code de sortie 7", "en marche", "pas en bonne santé", "PostgreSQL 15.4"):
        assert words in text, words
    for words in ("exited", "unhealthy", "None", "postgresql"):
        assert words not in text, words


CANARY = "canary-of-the-log"


def fake_run(monkeypatch: pytest.MonkeyPatch) -> DrillRun:
    """A drill that is up, of which nothing is real: its database has just ended."""
    contents = sample.contents()
    run = DrillRun.__new__(DrillRun)
    run.contents, run.excused = contents, set()
    run.names = {one.name: f"new-{one.name}" for one in contents.containers}
    run.isolated = Isolated({})
    run.seen = {}
    run.stage = SimpleNamespace(keep=lambda: None)  # type: ignore[assignment]
    run.context = SimpleNamespace(stop=SimpleNamespace(check=lambda: None))  # type: ignore[assignment]
    row = {"name": "new-kiosk_db_1", "state": "exited", "exit_code": 1, "engine": "postgresql", "log": [CANARY]}
    monkeypatch.setattr(DrillRun, "_asking", lambda _: SimpleNamespace(examine=lambda: [row]))
    return run


def test_an_error_of_a_fake_drill_has_no_line_that_a_database_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody who may look reads errors, and mails have them; the lines are in the evidence for those who operate."""
    run = fake_run(monkeypatch)
    step = Step(9, "healthy", {"container": "new-kiosk_db_1", "seconds": 5})
    ways: list[Callable[[], object]] = [
        lambda: run._failed(step, DockerRefused("it has ended")),
        lambda: run._states({}),
    ]
    for way in ways:
        run.seen.clear()
        with pytest.raises(drill_errors.DoesNotComeUp) as told:
            way()
        assert CANARY not in f"{told.value} {told.value.detail} {told.value.facts}"
        assert CANARY in str(run.seen["containers"])


def test_a_drill_that_was_killed_does_not_say_that_it_had_made_nothing(
    nightly: BackupJob, of_docker: Archive, client_of: ClientOf, bob: User
) -> None:
    proof = begun(nightly)
    proof.evidence = {"drill": {"kind": "docker", "times": {}, "removed": {"complete": False, "begun": True}}}
    proofs.keep(proof)
    ended(proof, TaskState.FAILED)
    text = client_of(bob).get(proof.get_absolute_url()).content.decode()
    assert "The drill was cut short" in text
    assert "Nothing had been made" not in text


@pytest.mark.parametrize(
    ("error", "keeps"),
    [
        (drill_errors.NotWhole, False),
        (drill_errors.WrongImage, False),
        (drill_errors.DoesNotComeUp, False),
        (drill_errors.DatabaseUnreadable, False),
        (drill_errors.ImageNotHere, True),
        (drill_errors.NothingToDrill, True),
        (drill_errors.DrillLeft, True),
    ],
)
def test_only_what_disproves_an_archive_takes_its_stamp(
    nightly: BackupJob, of_docker: Archive, error: Any, keeps: bool
) -> None:
    Archive.objects.filter(pk=of_docker.pk).update(proven_at=timezone.now(), proven_depth=Depth.READ)
    ended(begun(nightly), TaskState.FAILED, error.code)
    of_docker.refresh_from_db()
    assert (of_docker.proven_at is not None) is keeps
