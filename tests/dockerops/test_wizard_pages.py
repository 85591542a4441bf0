"""The first half of the wizard and its list: what is shown, kept and refused; who may what; names that bite."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dockerops.choice import Choice
from dockerops.manifest import Contents
from dockerops.models import DockerRestore
from dockerops.options import Options
from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from phpborg.tasks.states import State as TaskState
from tests.dockerops import rows, sample
from tests.tasks.test_pages import text_of

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
Step = DockerRestore.Step
STEPS = ("docker-archive", "docker-contents", "docker-choice", "docker-conflicts", "docker-options", "docker-review")
HOSTILE = (
    '<script>alert("kiosk")</script>',
    '\'; $(touch /tmp/x) "`id`"',
    "two\nlines\tand a tab",
    "r\udce9seau",  # latin-1 bytes of a path
    "\u202egpj.exe",
    "x" * 200,
)


def at(step: str, row: DockerRestore) -> str:
    return reverse(f"docker-{step}", args=[row.pk])


def hostile() -> Contents:
    """The sample with names that bite, in every place where a server may choose one."""
    raw = sample.manifest()
    for number, name in enumerate(HOSTILE):
        volume = {**raw["volumes"][0], "name": f"v{number}-{name}", "driver": name, "problem": None, "used_by": [name]}
        raw["volumes"].append({**volume, "path": f"/v/{name}"})
        raw["projects"].append({**raw["projects"][0], "name": f"p{number}-{name}", "working_dir": f"/opt/{name}"})
        raw["containers"].append({**raw["containers"][0], "name": f"c{number}-{name}", "image": name, "project": name})
        raw["networks"].append({**raw["networks"][0], "name": f"n{number}-{name}"})
        raw["binds"].append({**raw["binds"][0], "source": f"/b/{name}", "path": f"/b/{name}"})
        raw["not_included"].append({"kind": "volume", "name": name, "reason": name})
        raw["config_files"].append(f"/etc/{name}")
    # A manifest is refused that names them so; a record or a listing may.
    return replace(Contents.from_json(raw), manifest_sha256="c" * 64)


def test_the_page_of_the_archive_leads_to_the_first_step(client_of: ClientOf, bob: User, diane: User) -> None:
    one = rows.archive()
    address = reverse("docker-begin", args=[one.pk])
    assert address in text_of(client_of(bob).get(one.get_absolute_url()))
    assert address not in text_of(client_of(diane).get(one.get_absolute_url()))
    plain = rows.archive("plain", backup_config={"source_kind": "files"})
    assert reverse("docker-begin", args=[plain.pk]) not in text_of(client_of(bob).get(plain.get_absolute_url()))
    offered = client_of(bob).get(reverse("restore-wizard", args=[plain.pk]))
    assert reverse("docker-begin", args=[plain.pk]) in text_of(offered)


def test_the_draft_begins_with_the_server_and_the_archive_is_looked_into_once(client_of: ClientOf, bob: User) -> None:
    one, other = rows.archive(), rows.server("shop-2")
    browser, address = client_of(bob), reverse("docker-begin", args=[one.pk])
    assert not DockerRestore.objects.exists()
    assert "Target server" in text_of(browser.get(address))
    assert not DockerRestore.objects.exists(), "looking at a page begins nothing"
    for target in (other, other):
        answer = browser.post(address, {"server": target.pk})
        row = DockerRestore.objects.get()
        assert (answer.status_code, answer["Location"]) == (303, at("contents", row))
    assert (row.server, row.requested_by, row.state) == (other, bob, "draft")
    assert Task.objects.filter(kind="docker_look").count() == 1
    waits = text_of(browser.get(at("contents", row)))
    assert f"watch=task:{row.look_task}" in waits
    assert "<noscript>" in waits
    assert "Go on where you left" in text_of(browser.get(address))


def test_an_archive_that_is_gone_is_not_begun(client_of: ClientOf, bob: User) -> None:
    one = rows.archive(missing_at=timezone.now())
    assert client_of(bob).get(reverse("docker-begin", args=[one.pk])).status_code == 409


def test_a_look_that_failed_says_why_and_can_be_repeated(client_of: ClientOf, bob: User) -> None:
    task = Task.objects.create(
        kind="docker_look", queue="quick", state=TaskState.FAILED, error_code="DRS-01", error_facts={"archive": "one"}
    )
    row = rows.draft(bob, Step.CONTENTS, look_task=task.pk)
    browser = client_of(bob)
    text = text_of(browser.get(at("contents", row)))
    assert "holds nothing of Docker" in text
    assert browser.post(at("contents", row), {"look": "1"}).status_code == 302
    row.refresh_from_db()
    assert row.look_task != task.pk


def test_what_the_archive_holds_stands_there_with_its_sizes_and_how_it_is_known(client_of: ClientOf, bob: User) -> None:
    row = rows.draft(bob, Step.CHOICE)
    text = text_of(client_of(bob).get(at("contents", row)))
    for words in ("kiosk", "kiosk_data", "probe-1", "proxy", "/etc/docker/daemon.json", "/opt/shared", "shop-1"):
        assert words in text, words
    for words in ("40 MB", "from the description in the archive", "Docker 20.10.24", "PostgreSQL", "/opt/app"):
        assert words in text, words
    assert not any(canary in text for canary in sample.CANARIES)


def test_no_step_is_asked_before_it_can_be_answered(client_of: ClientOf, bob: User) -> None:
    row = rows.draft(bob, Step.CONTENTS)
    browser = client_of(bob)
    for step in ("choice", "conflicts", "options", "review"):
        assert browser.get(at(step, row))["Location"] == at("contents", row), step
    row = rows.draft(bob, Step.CHOICE)
    for step in ("conflicts", "options", "review"):
        assert browser.get(at(step, row))["Location"] == at("choice", row), step
    row = rows.draft(bob, Step.CONFLICTS)
    assert browser.get(at("review", row))["Location"] == at("conflicts", row)
    assert browser.get(at("options", row)).status_code == 200
    del row.contents["manifest_sha256"]  # as an older version saw it
    row.save()
    assert browser.get(at("options", row))["Location"] == at("contents", row)
    assert b'name="look"' in browser.get(at("contents", row)).content


def test_a_draft_is_left_and_taken_up_again_where_it_was(client_of: ClientOf, bob: User) -> None:
    row = rows.draft(bob, Step.CHOICE)
    browser = client_of(bob)
    answer = browser.post(at("choice", row), {"mode": "volumes", "volumes": ["kiosk_data"], "leave": "1"})
    assert answer["Location"] == reverse("docker-restores")
    assert not Task.objects.filter(kind="docker_conflicts").exists(), "somebody who leaves wants no check"
    text = text_of(browser.get(reverse("docker-restores")))
    assert at("conflicts", row) in text
    row.refresh_from_db()
    assert Choice.from_json(row.choice) == Choice(mode="volumes", volumes=("kiosk_data",))
    assert browser.get(row.get_absolute_url())["Location"] == at("conflicts", row)
    page = browser.get(at("choice", row)).content.decode()
    assert re.search(r'value="kiosk_data"[^>]*checked', page)
    assert re.search(r'value="volumes"[^>]*checked', page)


@pytest.mark.parametrize(
    ("answers", "choice"),
    [
        ({"mode": "all"}, Choice()),
        ({"mode": "all", "volumes": ["kiosk_data"]}, Choice()),
        ({"mode": "volumes"}, Choice(mode="volumes")),
        ({"mode": "projects", "projects": ["kiosk"]}, Choice(mode="projects", projects=("kiosk",))),
        ({"mode": "configs"}, Choice(mode="configs")),
        (
            {"mode": "custom", "containers": ["probe-1"], "binds": ["/opt/shared"], "networks": ["proxy"]},
            Choice(mode="custom", containers=("probe-1",), binds=("/opt/shared",), networks=("proxy",)),
        ),
        (
            {"mode": "files", "volume": "kiosk_data", "paths": "/base/1\r\npg_hba.conf\r\n\r\n"},
            Choice(mode="custom", files={"kiosk_data": ("base/1", "pg_hba.conf")}),
        ),
    ],
)
def test_what_is_chosen_is_kept_as_the_plan_reads_it(
    client_of: ClientOf, bob: User, answers: dict[str, Any], choice: Choice
) -> None:
    row = rows.draft(bob, Step.CHOICE)
    client_of(bob).post(at("choice", row), {**answers, "leave": "1"})
    row.refresh_from_db()
    assert Choice.from_json(row.choice) == choice
    assert Options.from_json(row.options) == Options()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"next": "1"}, "required"),
        ({"mode": "nonsense"}, "not one of the available choices"),
        ({"mode": "custom"}, "Tick at least one thing"),
        ({"mode": "custom", "volumes": ["of another archive"]}, "is not in this archive"),
        ({"mode": "files", "volume": "kiosk_data"}, "Write at least one path"),
        ({"mode": "files", "volume": "nowhere", "paths": "a"}, "Choose a volume"),
        ({"mode": "files", "volume": "kiosk_data", "paths": "../../etc/shadow"}, "must not hold"),
    ],
)
def test_what_cannot_be_chosen_is_said_beside_it_and_kept_from_the_draft(
    client_of: ClientOf, bob: User, answers: dict[str, Any], words: str
) -> None:
    row = rows.draft(bob, Step.CHOICE)
    answer = client_of(bob).post(at("choice", row), answers)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    row.refresh_from_db()
    assert row.choice == {}


def test_names_that_bite_are_shown_chosen_and_do_no_harm(client_of: ClientOf, bob: User) -> None:
    contents = hostile()
    row = rows.draft(bob, Step.CHOICE, contents)
    browser = client_of(bob)
    for step in ("contents", "choice"):
        page = browser.get(at(step, row)).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page
        assert "\u202e" not in re.sub(r'value="[^"]*"', "", page), "the direction of text is turned"
    boxes = re.findall(r'name="volumes"\s+value="([^"]*)"', page)
    assert len(boxes) == len(contents.volumes)
    from html import unescape

    chosen = [unescape(value) for value in boxes]
    browser.post(at("choice", row), {"mode": "custom", "volumes": chosen, "leave": "1"})
    row.refresh_from_db()
    assert set(Choice.from_json(row.choice).volumes) == {one.name for one in contents.volumes}
    assert browser.get(reverse("docker-restores")).status_code == 200
    assert all(browser.get(at(step, row)).status_code == 200 for step in ("contents", "choice"))


OPTIONS = {
    "placement": "in_place",
    "ports": "keep",
    "protect": "aside",
    "window_hours": "24",
    "start": "former",
    "images": "archive",
}


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, Options()),
        ({"placement": "other_path", "path": "/srv/restored/"}, Options(placement="other_path", path="/srv/restored")),
        ({"placement": "in_place", "path": "not seen", "project_name": "$(id)", "port_shift": "x"}, Options()),
        (
            {"placement": "other_project", "project_name": "copy", "name_suffix": "-2", "path": "/srv/copy"},
            Options(placement="other_project", project_name="copy", name_suffix="-2", path="/srv/copy"),
        ),
        ({"ports": "shift", "port_shift": "100"}, Options(ports="shift", port_shift=100)),
        ({"protect": "none", "window_hours": ""}, Options(protect="none")),
        ({"protect": "aside", "window_hours": "48"}, Options(window_hours=48)),
        (
            {"start": "none", "images": "pull", "create_missing": "on"},
            Options(start="none", images="pull", create_missing=True),
        ),
    ],
)
def test_options_are_kept_as_the_plan_reads_them(
    client_of: ClientOf, bob: User, changes: dict[str, str], options: Options
) -> None:
    row = rows.draft(bob, Step.OPTIONS)
    client_of(bob).post(at("options", row), {**OPTIONS, **changes, "leave": "1"})
    row.refresh_from_db()
    assert Options.from_json(row.options) == options
    assert (row.conflicts_at is None) == (options != Options()), "other options, other conflicts"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"placement": "other_path"}, "Write the directory"),
        ({"placement": "other_path", "path": "srv"}, "absolute path"),
        ({"placement": "other_path", "path": "/srv/../etc"}, "absolute path"),
        ({"placement": "other_path", "path": "/"}, "absolute path"),
        ({"placement": "other_project"}, "Write the name"),
        ({"placement": "other_project", "project_name": "$(id)"}, "Small letters"),
        ({"placement": "other_project", "project_name": "copy", "name_suffix": "a b"}, "Letters, digits"),
        ({"ports": "shift", "port_shift": ""}, "by how much"),
        ({"protect": "aside", "window_hours": ""}, "how many hours"),
        ({"protect": "aside", "window_hours": "0"}, "greater than or equal to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    client_of: ClientOf, bob: User, changes: dict[str, str], words: str
) -> None:
    row = rows.draft(bob, Step.OPTIONS)
    answer = client_of(bob).post(at("options", row), {**OPTIONS, **changes})
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_only_who_operates_may_see_or_change_a_draft_and_only_its_maker(
    client_of: ClientOf, alice: User, bob: User, diane: User, charlie: User
) -> None:
    row = rows.draft(bob, Step.REVIEW)
    addresses = [reverse(name, args=[row.pk]) for name in STEPS]
    for address in [*addresses, row.get_absolute_url()]:
        assert client_of(alice).get(address).status_code == 404, "another person's draft"
        assert client_of(charlie).get(address).status_code == 302
    for address in [*addresses, reverse("docker-begin", args=[row.archive.pk])]:
        assert client_of(diane).get(address).status_code == 403
        assert client_of(diane).post(address).status_code in (403, 405)
    assert row.archive_name not in text_of(client_of(alice).get(reverse("docker-restores")))


def test_a_draft_is_discarded_by_its_maker(client_of: ClientOf, alice: User, bob: User) -> None:
    row = rows.draft(bob, Step.CHOICE)
    assert client_of(alice).post(at("discard", row)).status_code == 404
    assert client_of(bob).post(at("discard", row))["Location"] == reverse("docker-restores")
    assert not DockerRestore.objects.exists()


def test_files_are_picked_by_looking_whatever_bytes_their_names_have(client_of: ClientOf, bob: User) -> None:
    """What the page of the open archive sends; looking itself is in the browser's test."""
    row = rows.draft(bob, Step.CHOICE)
    browser, address = client_of(bob), at("files", row) + "?volume=kiosk_data"
    answer = browser.post(at("choice", row), {"mode": "files", "volume": "kiosk_data", "paths": "typed", "pick": "1"})
    assert answer["Location"] == address
    assert "Open the archive" in text_of(browser.get(address))
    assert browser.post(address, {"open": "1"})["Location"] == address
    assert Task.objects.filter(kind="browse_open").count() == 1
    browser.post(address, {"item": ["deep/er", "deep", "caf%E9", "a%0Ab"]})
    row.refresh_from_db()
    choice = Choice.from_json(row.choice)
    assert (choice.mode, choice.files) == ("custom", {"kiosk_data": ("a\nb", "caf\udce9", "deep", "typed")})
    lines = browser.get(at("choice", row)).context["form"]["paths"].value()
    browser.post(at("choice", row), {"mode": "files", "volume": "kiosk_data", "paths": lines.replace("\n", "\r\n")})
    row.refresh_from_db()
    assert Choice.from_json(row.choice) == choice, "the form gives every name back as it was"
    browser.post(address, {"out": ["typed", "a%0Ab"]})
    row.refresh_from_db()
    assert Choice.from_json(row.choice).files == {"kiosk_data": ("caf\udce9", "deep")}
    assert browser.post(address, {"item": ["%2e%2e/%2e%2e/etc"]}).status_code == 409
    assert browser.get(at("files", row) + "?volume=nowhere").status_code == 404
