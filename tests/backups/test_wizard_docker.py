"""The wizard's way to a Docker job, by the report that the server gave."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from backups.forms.wizard_docker import to_value
from backups.models import BackupJob, JobDraft, Repository
from backups.services import drafts
from phpborg.accounts.models import User
from servers.models import Server
from tests.backups.wizard_parts import ClientOf, choose, see, step
from tests.support.docker_reports import container, docker_json, project, volume
from tests.support.reports import probe

ODD = "a b'\"; $(x) <b>é😀%25"
ALL = {"projects_mode": "all", "containers_mode": "all", "volumes_mode": "all", "binds_mode": "all", "way": "none"}


@pytest.fixture
def browser(client_of: ClientOf, alice: User) -> Client:
    return client_of(alice)


@pytest.fixture
def draft(db: None, alice: User, local_server: Server) -> JobDraft:
    return drafts.begin(owner=alice, server=local_server)


def form(**more: Any) -> dict[str, Any]:
    return {**ALL, "images": "digests", "config_files": "on", **more}


def answer(browser: Client, draft: JobDraft, **more: Any) -> dict[str, Any]:
    """The draft's source after this form."""
    response = browser.post(step(draft, "what"), form(**more))
    assert response.status_code == 303, response.content.decode()
    draft.refresh_from_db()
    return dict(drafts.source_of_draft(draft))


def test_docker_is_offered_where_it_runs(browser: Client, draft: JobDraft, local_server: Server) -> None:
    see(local_server, docker_json())
    page = browser.get(step(draft, "kind")).content.decode()
    assert 'value="docker"' in page
    assert "2 Compose projects · 2 containers of no project · 4 volumes" in page
    assert choose(browser, draft, "docker").headers["Location"] == step(draft, "what")
    assert drafts.source_kind_of(draft) == "docker"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"running": False, "problem": "connection refused"}, "connection refused"),
        (None, "it broke"),
        ({"installed": False, "running": False}, ""),
    ],
)
def test_docker_that_does_not_answer_cannot_be_chosen(
    browser: Client, draft: JobDraft, local_server: Server, said: Any, shown: str
) -> None:
    raw = docker_json(**(said or {}))
    if said is None:
        raw["probes"]["docker"] = probe(None, state="failed", problem="it broke")
    see(local_server, raw)
    page = browser.get(step(draft, "kind")).content.decode()
    assert ('value="docker"' in page) == bool(shown)
    assert shown in page
    assert choose(browser, draft, "docker").status_code == 422


def test_everything_is_the_default_and_what_lies_outside_is_listed_with_reasons(
    browser: Client, draft: JobDraft, local_server: Server
) -> None:
    see(local_server, docker_json())
    choose(browser, draft, "docker")
    page = browser.get(step(draft, "what")).content.decode()
    for words in (
        "/srv/shared",
        "/run/docker.sock",
        "it is a socket",
        "/etc/localtime",
        "used by nobody",
        "PostgreSQL",
    ):
        assert words in page
    # What is read already is no place outside.
    assert "/srv/shop/data" not in page
    source = answer(browser, draft)
    assert source["projects"] is source["volumes"] is source["containers"] is source["binds"] is None
    assert source["quiesce"] == {"default": "none", "containers": {}}
    assert draft.step == "where"


def test_a_part_is_chosen_by_boxes(browser: Client, draft: JobDraft, local_server: Server) -> None:
    see(local_server, docker_json())
    choose(browser, draft, "docker")
    source = answer(
        browser,
        draft,
        projects_mode="only",
        projects=["shop"],
        containers_mode="only",
        volumes_mode="but",
        volumes=["shop_data"],
        binds_mode="only",
        binds=[to_value("/srv/shared")],
        images="saved",
        way="pause",
        **{"way:" + to_value("shop/db"): "dump", "way:" + to_value("shop/web"): ""},
    )
    assert (source["projects"], source["containers"], source["binds"]) == (["shop"], [], ["/srv/shared"])
    assert (source["volumes"], source["exclude"]["volumes"], source["images"]) == (None, ["shop_data"], "saved")
    assert source["quiesce"] == {"default": "pause", "containers": {"shop/db": "dump"}}
    again = browser.get(step(draft, "what")).content.decode()
    assert "checked" in again.split('id="projects-only"')[1].split(">")[0]
    assert "checked" in again.split('id="volumes-but"')[1].split(">")[0]
    assert "selected" in again.split('value="dump"')[1].split(">")[0]


def test_nothing_at_all_is_no_job(browser: Client, draft: JobDraft, local_server: Server) -> None:
    see(local_server, docker_json())
    choose(browser, draft, "docker")
    response = browser.post(step(draft, "what"), form(projects_mode="only", containers_mode="only"))
    assert response.status_code == 422
    assert "choose at least one project, volume or container" in response.content.decode()
    response = browser.post(step(draft, "what"), form(**{"way:shop%2Fdb": "kill"}))
    assert response.status_code == 422


def test_names_survive_the_form_and_do_no_harm(browser: Client, draft: JobDraft, local_server: Server) -> None:
    raw = docker_json(
        projects=[project(ODD, f"/srv/{ODD}")], containers=[container(ODD, ODD, ODD)], volumes=[volume("v", ODD)]
    )
    see(local_server, raw)
    choose(browser, draft, "docker")
    page = browser.get(step(draft, "what")).content.decode()
    assert "<b>é" not in page
    key = f"{ODD}/{ODD}"
    source = answer(browser, draft, projects_mode="only", projects=[to_value(ODD)], **{"way:" + to_value(key): "stop"})
    assert source["projects"] == [ODD]
    assert source["quiesce"]["containers"] == {key: "stop"}


def test_what_was_chosen_and_is_gone_stays_in_sight(browser: Client, draft: JobDraft, local_server: Server) -> None:
    see(local_server, docker_json())
    choose(browser, draft, "docker")
    answer(browser, draft, projects_mode="only", projects=["shop"], **{"way:gone": "stop"})
    see(local_server, docker_json(projects=[], containers=[]))
    page = browser.get(step(draft, "what")).content.decode()
    assert page.count("was not found") == 2


def test_a_task_of_a_swarm_is_left_running_and_the_reason_is_told(
    browser: Client, draft: JobDraft, local_server: Server
) -> None:
    see(local_server, docker_json())
    choose(browser, draft, "docker")
    page = browser.get(step(draft, "what")).content.decode()
    assert "It is a task of the Swarm service “stack_web”" in page
    row = page.split("task.1</span>")[-1].split("</select>")[0]
    assert 'value="stop"' not in row


def test_a_job_is_made_shown_and_edited(
    browser: Client, draft: JobDraft, local_server: Server, repository: Repository
) -> None:
    see(local_server, docker_json())
    choose(browser, draft, "docker")
    answer(browser, draft, projects_mode="only", projects=["shop"], way="stop")
    browser.post(step(draft, "where"), {"repository": str(repository.pk), "compression": ""})
    drafts.save_step(draft=JobDraft.objects.get(), step="options", answers={})
    review = browser.get(step(draft, "review")).content.decode()
    assert "Reads 1 Compose project with its directory and files: shop." in review
    assert "Stopped while Borg reads: shop_db_1, shop_web_1" in review.replace("&#x27;", "'")
    assert "Containers come back into the state" in review
    made = browser.post(step(draft, "review"), {"name": "Containers"})
    job = BackupJob.objects.get()
    assert made.headers["Location"] == job.get_absolute_url()
    page = browser.get(job.get_absolute_url()).content.decode()
    assert "Docker" in page
    assert "shop" in page
    assert "Stop it" in page
    edited = browser.post(f"{job.get_absolute_url()}edit/")
    assert edited.status_code == 303
    assert "shop" in browser.get(edited.headers["Location"]).content.decode()


def test_the_look_again_keeps_what_was_ticked(browser: Client, draft: JobDraft, local_server: Server) -> None:
    see(local_server, docker_json())
    choose(browser, draft, "docker")
    browser.post(step(draft, "what"), form(projects_mode="only", projects=["wiki"], look="1"))
    draft.refresh_from_db()
    assert drafts.source_of_draft(draft)["projects"] == ["wiki"]
    assert draft.step == "what"


def test_another_servers_choice_is_not_kept(
    browser: Client, draft: JobDraft, local_server: Server, repository: Repository
) -> None:
    see(local_server, docker_json())
    choose(browser, draft, "docker")
    answer(browser, draft, projects_mode="only", projects=["shop"])
    other = Server.objects.create(name="other", address="192.0.2.9", state=Server.State.READY)
    drafts.choose_server(draft=draft, server=other)
    assert "what" not in draft.answers


def test_without_any_report_the_page_says_what_to_do(browser: Client, draft: JobDraft) -> None:
    drafts.choose_kind(draft=draft, kind="docker")
    page = browser.get(step(draft, "what")).content.decode()
    assert "did not find Docker" in page
