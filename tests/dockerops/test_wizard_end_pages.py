"""The second half of the wizard: conflicts, review, script, start; and the record with what can be done with it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backups.models import Archive
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.run_errors import EngineUnknown
from dockerops.services import detecting, planning
from phpborg.accounts.models import User
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State as TaskState
from tests.dockerops import rows, sample
from tests.dockerops.test_wizard_pages import OPTIONS, at
from tests.tasks.test_pages import text_of

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
Step = DockerRestore.Step


def test_each_conflict_has_its_sentence_its_remedy_and_its_box(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob)
    text = text_of(client_of(bob).get(at("conflicts", row)))
    found = detecting.conflicts_of(row)
    assert {"stop", "info"} <= {one.severity for one in found}
    for one in found:
        assert one.consent == "" or f'value="{one.consent}"' in text, one
    assert "The project kiosk is running here" in text
    assert "or restore under another project name" in text
    assert text.count("I agree") == sum(one.severity == "stop" for one in found)
    assert "Checked:" in text


def test_nothing_goes_on_before_everything_is_agreed_to(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob)
    browser, keys = client_of(bob), [one.consent for one in detecting.standing(row)]
    assert len(keys) > 1
    for agreed in ([], keys[:-1], [*keys[:-1], "another thing"]):
        answer = browser.post(at("conflicts", row), {"consent": agreed, "next": "1"})
        assert answer["Location"] == at("conflicts", row), agreed
        assert browser.get(at("review", row)).status_code == 422
        row.refresh_from_db()
        assert row.consents == sorted(set(agreed) & set(keys)), "kept, and nothing else"
    answer = browser.post(at("conflicts", row), {"consent": keys, "next": "1"})
    assert answer["Location"] == at("options", row)
    assert browser.get(at("review", row)).status_code == 200


def test_who_agrees_to_all_at_once_reads_what_stops(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob)
    text = text_of(client_of(bob).get(at("conflicts", row)))
    named = text.partition('for="consent-all">')[2].partition("</label>")[0]
    stops = [one.subject for one in detecting.conflicts_of(row) if one.kind == "container_taken"]
    assert stops
    assert all(name in named for name in ("kiosk", *stops))


def test_what_blocks_ends_the_way_and_shows_another(client_of: ClientOf, bob: User) -> None:
    there = sample.there()
    there["engine"]["swarm"], there["machine"] = False, "aarch64"
    row = rows.conflicting(bob, there)
    browser = client_of(bob)
    assert any(one.severity == "block" for one in detecting.conflicts_of(row))
    text = text_of(browser.get(at("conflicts", row)))
    assert "As it is chosen now it cannot be restored" in text
    assert at("options", row) in text
    keys = [one.consent for one in detecting.conflicts_of(row) if one.consent]
    assert browser.post(at("conflicts", row), {"consent": keys})["Location"] == at("conflicts", row)
    text = browser.get(at("review", row))
    assert text.status_code == 422
    assert "disabled" in text.content.decode()


def test_the_check_is_asked_for_by_the_choice_and_told_live(client_of: ClientOf, bob: User) -> None:
    row = rows.draft(bob, Step.CHOICE)
    browser = client_of(bob)
    assert browser.post(at("choice", row), {"mode": "all"})["Location"] == at("conflicts", row)
    row.refresh_from_db()
    task = Task.objects.get(kind="docker_conflicts")
    assert row.conflicts_task == task.pk
    text = text_of(browser.get(at("conflicts", row)))
    assert f"watch=task:{task.pk}" in text
    assert "<noscript>" in text
    assert "is asked what runs and lies there" in text


def test_a_server_without_an_engine_is_told_and_the_draft_stays(client_of: ClientOf, bob: User) -> None:
    row = rows.draft(bob, Step.CHOICE)
    row.server.capability_reports.all().delete()
    browser = client_of(bob)
    text = text_of(browser.post(at("choice", row), {"mode": "all"}, follow=True))
    assert "No Docker engine is known on shop-1" in text
    assert "Not checked for what is chosen now" in text


def test_a_failed_check_says_why_and_can_be_repeated(client_of: ClientOf, bob: User) -> None:
    task = Task.objects.create(
        kind="docker_conflicts",
        queue="quick",
        state=TaskState.FAILED,
        error_code=EngineUnknown.code,
        error_facts={"server": "x"},
    )
    row = rows.draft(bob, Step.CONFLICTS, conflicts_task=task.pk)
    browser = client_of(bob)
    assert "No Docker engine is known on x" in text_of(browser.get(at("conflicts", row)))
    assert browser.post(at("conflicts", row), {"check": "1"})["Location"] == at("conflicts", row)
    row.refresh_from_db()
    assert row.conflicts_task != task.pk


def test_other_options_lead_back_through_the_check_and_then_to_the_review(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob, sample.empty(), agreed=True, options=Options(create_missing=True))
    browser, same = client_of(bob), {**OPTIONS, "create_missing": "on"}
    assert browser.post(at("options", row), same)["Location"] == at("review", row), "the same options are no news"
    answer = browser.post(at("options", row), {**same, "ports": "shift", "port_shift": "1000"})
    assert answer["Location"] == at("conflicts", row) + "?then=review"
    row.refresh_from_db()
    assert row.conflicts_at is None
    assert Task.objects.filter(kind="docker_conflicts").count() == 1
    assert browser.get(at("review", row))["Location"] == at("conflicts", row)
    DockerRestore.objects.filter(pk=row.pk).update(conflicts_at=timezone.now())
    Task.objects.update(state=TaskState.SUCCESS)
    assert 'name="then"' in browser.get(at("conflicts", row) + "?then=review").content.decode()
    answer = browser.post(at("conflicts", row), {"then": "review"})
    assert answer["Location"] == at("review", row)


def test_the_review_shows_every_step_with_its_undo_and_the_script(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob, agreed=True)
    plan = planning.plan_of(row)
    text = text_of(client_of(bob).get(at("review", row)))
    assert len(plan.steps) > 10
    for step in plan.steps:
        assert step.title in text
    for words in ("Undo:", "Touches:", plan.hash, "#!/", "kept aside for 24 hours", "Everything"):
        assert words in text, words
    assert not any(canary in text for canary in sample.CANARIES)
    advanced = client_of(bob).get(at("review", row) + "?form=advanced").context["script"]
    assert "--dry-run" in advanced


@pytest.mark.parametrize("form", ["simple", "advanced"])
def test_the_script_is_a_file_of_the_plan_that_was_shown(
    client_of: ClientOf, bob: User, diane: User, form: str, tmp_path: Path
) -> None:
    row = rows.conflicting(bob, agreed=True)
    address = at("script", row) + f"?form={form}"
    answer = client_of(bob).get(address)
    assert answer["Content-Disposition"].startswith(f'attachment; filename="docker-restore-{form}-')
    assert answer["Cache-Control"] == "no-store"
    assert planning.plan_of(row).hash in answer.content.decode()
    (tmp_path / "script.sh").write_bytes(answer.content)
    assert subprocess.run(["bash", "-n", str(tmp_path / "script.sh")], check=False).returncode == 0
    assert client_of(diane).get(address).status_code == 403
    done = rows.record(bob, archive=None)
    assert planning.stored_plan(done).hash in client_of(bob).get(at("script", done)).content.decode()


def start(browser: Client, row: DockerRestore, **more: Any) -> Any:
    shown = browser.get(at("review", row)).context["shown"]
    return browser.post(at("start", row), {"shown": shown, **more})


def test_what_was_shown_is_started_after_a_question_that_says_what_happens(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob, agreed=True)
    browser = client_of(bob)
    asked = start(browser, row)
    assert asked.status_code == 200
    text = text_of(asked)
    for words in ("Restore to shop-1?", "kiosk_db_1", "kept for 24 hours"):
        assert words in text, words
    row.refresh_from_db()
    assert (row.state, Task.objects.filter(kind="docker_restore").count()) == ("draft", 0)
    assert start(browser, row, confirmed="1")["Location"] == row.get_absolute_url()
    row.refresh_from_db()
    task = Task.objects.get(kind="docker_restore")
    assert (row.state, row.task_ref, row.plan_hash) == ("started", task.pk, row.plan["hash"])
    assert (
        browser.post(at("start", row), {"shown": row.plan_hash, "confirmed": "1"})["Location"] == row.get_absolute_url()
    )
    assert Task.objects.filter(kind="docker_restore").count() == 1, "a second click starts nothing"
    assert browser.get(at("choice", row)).status_code == 404, "what was started is no draft"


def test_a_plan_that_has_become_another_is_shown_before_it_is_started(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob, agreed=True)
    answer = client_of(bob).post(at("start", row), {"shown": "0" * 64, "confirmed": "1"})
    assert answer.status_code == 422
    assert "Nothing is started yet" in answer.content.decode()
    row.refresh_from_db()
    assert row.state == "draft"


def test_without_protection_the_name_of_the_server_is_typed(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob, agreed=True, options=Options(protect="none"))
    browser = client_of(bob)
    assert start(browser, row, confirmed="1").status_code == 422
    assert start(browser, row, confirmed="1", typed="shop-1").status_code == 302


def test_an_archive_of_what_is_replaced_is_named_before_and_linked_after(client_of: ClientOf, bob: User) -> None:
    row = rows.conflicting(bob, agreed=True, options=Options(protect="archive"))
    browser = client_of(bob)
    name = f"before-{row.token[:8]}"
    text = start(browser, row).content.decode()
    assert f"archive {name} first" in text
    assert "kept for 24 hours" in text
    done = rows.record(bob)
    assert "safety" not in text_of(browser.get(done.get_absolute_url()))
    made = rows.archive(name, backup_config={"source_kind": "files", "before_docker_restore": str(done.pk)})
    assert made.get_absolute_url() in text_of(browser.get(done.get_absolute_url()))
    Archive.objects.filter(pk=made.pk).update(trashed_at=timezone.now())
    assert made.get_absolute_url() not in text_of(browser.get(done.get_absolute_url()))


def protected(bob: User, **more: Any) -> DockerRestore:
    row = rows.record(
        bob, protected_until=timezone.now() + timedelta(hours=5), report={"kept_bytes": 2_000_000}, **more
    )
    Lease.objects.create(
        kind="docker_kept",
        data={"restore": str(row.pk), "server": str(row.server_id), "socket": "/x", "token": row.token},
        task_id=row.task_ref,
        keep_until=row.protected_until,
    )
    return row


@pytest.mark.parametrize(("what", "kind"), [("rollback", "docker_rollback"), ("forget", "docker_forget")])
def test_what_is_kept_is_brought_back_or_let_go_after_a_question(
    client_of: ClientOf, bob: User, diane: User, what: str, kind: str
) -> None:
    row = protected(bob)
    browser = client_of(bob)
    assert at(what, row) in text_of(browser.get(row.get_absolute_url()))
    assert at(what, row) not in text_of(client_of(diane).get(row.get_absolute_url()))
    assert client_of(diane).post(at(what, row), {"confirmed": "1"}).status_code == 403
    text = text_of(browser.post(at(what, row)))
    words = "written there since the restore is lost" if what == "rollback" else "cannot be rolled back"
    assert words in text
    assert not Task.objects.filter(kind=kind).exists()
    assert browser.post(at(what, row), {"confirmed": "1"})["Location"] == row.get_absolute_url()
    task = Task.objects.get(kind=kind)
    page = text_of(browser.get(row.get_absolute_url()))
    assert f"watch=task:{task.pk}" in page
    assert at("rollback", row) not in page, "nothing is offered while it runs"
    assert browser.get(at(what, row))["Location"] == row.get_absolute_url()


def test_while_containers_are_kept_the_record_warns_of_compose(client_of: ClientOf, bob: User) -> None:
    row = protected(bob)
    browser, words = client_of(bob), "do not let Compose act on this project"
    assert words in text_of(browser.get(row.get_absolute_url()))
    plan = planning.stored_plan(row)
    rest = replace(plan, protected=tuple(one for one in plan.protected if one.what == "path"))
    DockerRestore.objects.filter(pk=row.pk).update(plan=rest.as_json())
    assert words not in text_of(browser.get(row.get_absolute_url()))


def test_after_its_window_nothing_is_offered_and_a_click_of_before_is_told(client_of: ClientOf, bob: User) -> None:
    row = rows.record(bob, protected_until=timezone.now() - timedelta(minutes=1))
    browser = client_of(bob)
    text = text_of(browser.get(row.get_absolute_url()))
    assert at("rollback", row) not in text
    assert "cannot be rolled back any more" in text
    answer = browser.post(at("rollback", row), {"confirmed": "1"})
    assert answer.status_code == 409
    assert "nothing of the former state is kept" in answer.content.decode()


@pytest.mark.parametrize(
    ("state", "report", "words"),
    [
        ("started", {}, "State of the task"),
        ("done", {"proof": {"containers": 3, "entries": 4321}}, "Everything of the plan is in place"),
        ("done", {"proof": {"containers": 3, "entries": 4321}}, "4,321"),
        ("failed", {"touched": False}, "failed before it changed anything"),
        ("failed", {"rollback": {"problems": ["c <b> resists"]}}, "c &lt;b&gt; resists"),
        ("rolled_back", {"rollback": {"problems": []}}, "Failed, and rolled back"),
        ("rolled_back", {"undone_later": True}, "What was there before the restore is back on shop-1"),
    ],
)
def test_the_record_says_how_it_stands_to_everybody_who_may_look(
    client_of: ClientOf, bob: User, diane: User, state: str, report: dict[str, Any], words: str
) -> None:
    row = rows.record(bob, state, report=report)
    for person in (bob, diane):
        text = text_of(client_of(person).get(row.get_absolute_url()))
        assert words in text
        assert f"watch=task:{row.task_ref}" in text
        assert "kiosk_data" in text
        assert not any(canary in text for canary in sample.CANARIES)
        assert row.archive_name in text_of(client_of(person).get(reverse("docker-restores")))


def test_a_record_outlives_its_archive_its_server_and_its_task(client_of: ClientOf, bob: User) -> None:
    row = rows.record(bob)
    Task.objects.all().delete()
    DockerRestore.objects.filter(pk=row.pk).update(archive=None, server=None)
    assert client_of(bob).get(row.get_absolute_url()).status_code == 200
    assert client_of(bob).get(reverse("docker-restores")).status_code == 200


PAGES = ("contents", "choice", "conflicts", "options", "review")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_page_is_in_the_readers_language(client_of: ClientOf, bob: User, language: str) -> None:
    User.objects.filter(pk=bob.pk).update(language=language)
    bob.refresh_from_db()
    row = rows.conflicting(bob, agreed=True)
    browser = client_of(bob)
    words = {"en": "Save and leave", "fr": "Enregistrer et quitter"}[language]
    for page in PAGES[:-1]:
        assert words in text_of(browser.get(at(page, row))), page
    review = text_of(browser.get(at("review", row)))
    assert {"en": "What will happen", "fr": "Ce qui va se passer"}[language] in review


def test_pages_ask_the_database_as_often_for_few_as_for_many(client_of: ClientOf, bob: User) -> None:
    browser = client_of(bob)

    def queries(address: str) -> int:
        """The fewest of three: a cached name may just have grown old."""
        counts = []
        for _ in range(3):
            with CaptureQueriesContext(connection) as caught:
                assert browser.get(address).status_code == 200
            counts.append(len(caught))
        return min(counts)

    row, done = rows.conflicting(bob, agreed=True), rows.record(bob)
    before = {page: queries(at(page, row)) for page in PAGES}
    lists = queries(reverse("docker-restores"))
    assert queries(done.get_absolute_url()) < 20
    for number in range(5):
        rows.record(bob, archive=rows.archive(f"more-{number}"))
        rows.draft(bob, Step.CHOICE, archive=rows.archive(f"draft-{number}"))
    assert queries(reverse("docker-restores")) == lists
    assert all(count < 20 for count in before.values()), before
    assert {page: queries(at(page, row)) for page in PAGES} == before
