"""The page of a server's statistics and its command. Rows are made by the tests, no server is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from servers.models import Sample, Sampling, Server
from servers.services import statistics
from tests.servers.fleet_of_answers import GB, Answers, answer, make_servers

pytestmark = pytest.mark.django_db
Browser = Callable[[User], Client]
SPANS = ("24h", "7d", "90d", "1y")
STEPS = {"fine": timedelta(minutes=15), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def samples(server: Server, resolution: str, count: int, *, until: datetime | None = None) -> None:
    """So many samples in a row, the last one a step before `until`, with their gathering."""
    until = until or timezone.now()
    made = []
    for number in range(count, 0, -1):
        used = (40 + number % 10) * GB
        three: Any = used if resolution == "fine" else [used, used - GB, used + GB]
        made.append(
            Sample(
                server=server,
                resolution=resolution,
                taken_at=until - number * STEPS[resolution],
                cpu_share=(number % 20) / 40,
                load1=number % 5,
                load15=1,
                memory_total_bytes=8 * GB,
                memory_available_bytes=5 * GB,
                swap_total_bytes=GB,
                swap_free_bytes=GB // 2,
                received=1000.0 * number,
                sent=10.0,
                filesystems={"/": [100 * GB, three, 50 * GB, None, None]},
                ranges={} if resolution == "fine" else {"cpu_share": [0, 0.9]},
            )
        )
    Sample.objects.bulk_create(made, batch_size=500)
    Sampling.objects.update_or_create(
        server=server,
        defaults={"due_at": until, "sampled_at": until, "last": answer(86_400 * 3), "summed_until": until},
    )


def page_of(client: Client, server: Server, span: str = "24h") -> str:
    response = client.get(f"/servers/{server.pk}/statistics/?span={span}")
    assert response.status_code == 200
    return str(response.content.decode())


@pytest.fixture
def browser(alice: User, client_of: Browser) -> Client:
    return client_of(alice)


def test_who_may_look(alice: User, bob: User, diane: User, charlie: User, client_of: Browser) -> None:
    (server,) = make_servers("web")
    address = f"/servers/{server.pk}/statistics/"
    for user in (alice, bob, diane):
        assert client_of(user).get(address).status_code == 200
        assert client_of(user).post(address).status_code == 405
    assert client_of(charlie).get(address).status_code in (302, 403)
    assert Client().get(address).status_code == 302
    assert client_of(alice).get(f"/servers/{uuid4()}/statistics/").status_code == 404


def test_the_servers_page_leads_to_it(browser: Client) -> None:
    (server,) = make_servers("web")
    assert f'href="/servers/{server.pk}/statistics/"' in browser.get(server.get_absolute_url()).content.decode()


def test_before_the_first_sample_it_says_when_that_comes(browser: Client) -> None:
    (ready,) = make_servers("web")
    (new,) = make_servers("new", state="new")
    assert "The first sample comes within a few minutes" in page_of(browser, ready)
    assert "from the moment at which the server is set up" in page_of(browser, new)
    assert "chart" not in re.findall(r'<svg class="chart"', page_of(browser, ready))


def test_a_server_that_never_answered_says_why_and_when_it_is_asked_again(browser: Client) -> None:
    (server,) = make_servers("web")
    facts = {"address": "web.example.org", "port": 22}
    Sampling.objects.create(server=server, due_at=timezone.now(), failures=1, error_code="SSH-01", error_facts=facts)
    html = page_of(browser, server)
    assert "web.example.org cannot be reached on port 22." in html
    assert "It is asked again at:" in html
    assert "The first sample comes" not in html


@pytest.mark.parametrize("span", SPANS)
def test_every_span_has_its_charts_and_their_tables(browser: Client, span: str) -> None:
    (server,) = make_servers("web")
    for resolution, count in (("fine", 96), ("hour", 24 * 30), ("day", 200)):
        samples(server, resolution, count)
    html = page_of(browser, server, span)
    assert html.count('<svg class="chart"') == 5
    assert html.count('role="img" aria-label="CPU. Busy: last ') == 1
    assert html.count("<summary>") >= 5
    assert f'href="?span={span}"\n             aria-current="page"' in html
    assert all(f'href="?span={other}"' in html for other in SPANS)
    assert " style=" not in html
    rows = re.search(r'aria-label="CPU">.*?</table>', html, re.DOTALL)
    assert rows
    assert 24 <= rows[0].count("<tr>") <= 34


def test_a_wrong_span_is_the_last_day(browser: Client) -> None:
    (server,) = make_servers("web")
    samples(server, "fine", 3)
    assert 'href="?span=24h"\n             aria-current="page"' in page_of(browser, server, "<b>")


def test_the_figures_of_now_are_on_top(browser: Client) -> None:
    (server,) = make_servers("web")
    samples(server, "fine", 3)
    html = page_of(browser, server)
    for words in ("4 CPUs", "3 GB of 8 GB", "3 d", "40 GB of 95 GB", "100 of 1,000 inodes", "/dev/vda1"):
        assert words in html.replace("\u00a0", " "), words


def test_what_is_not_known_is_a_dash_and_no_chart(browser: Client) -> None:
    (server,) = make_servers("web")
    moment = timezone.now()
    Sample.objects.create(server=server, resolution="fine", taken_at=moment)
    Sampling.objects.create(server=server, due_at=moment, sampled_at=moment, last={"schema": 1}, summed_until=moment)
    html = page_of(browser, server)
    assert '<svg class="chart"' not in html
    assert html.count("No values in this time.") == 4
    assert "0%" not in html


def test_a_filesystem_that_gives_no_numbers_says_why_and_one_that_went_is_shown(browser: Client) -> None:
    (server,) = make_servers("web")
    samples(server, "fine", 5)
    silent = {"target": "/mnt/<nas>", "fstype": "nfs4", "device": "nas:/x", "problem": "no answer in 2 s"}
    Sampling.objects.update(last=answer(filesystems=[silent]))
    html = page_of(browser, server)
    assert "no answer in 2 s" in html
    assert "/mnt/&lt;nas&gt;" in html
    assert "It is no longer mounted." in html


def test_a_server_that_invents_filesystems_makes_no_endless_page(browser: Client) -> None:
    (server,) = make_servers("web")
    samples(server, "fine", 90)
    for number, sample in enumerate(Sample.objects.all()):
        sample.filesystems = {f"/{number}-{each}": [9, 3, 3, None, None] for each in range(64)}
        sample.save()
    assert page_of(browser, server).count("<h3") <= 1 + 12


def test_charts_reach_to_now_between_two_sums(browser: Client) -> None:
    """The hour or day that goes on is summed up for the page."""
    (server,) = make_servers("web")
    now = timezone.now()
    samples(server, "day", 10, until=now.replace(hour=0, minute=0, second=0, microsecond=0))
    samples(server, "fine", 8)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    Sampling.objects.update(summed_until=midnight)
    Sample.objects.filter(resolution="fine").update(cpu_share=0.77)
    for span in ("7d", "1y"):
        assert "Busy: last 77%" in page_of(browser, server, span)


def test_the_page_is_in_french_with_a_comma(diane: User, client_of: Browser) -> None:
    diane.language = "fr"
    diane.save()
    (server,) = make_servers("web")
    samples(server, "fine", 96)
    html = page_of(client_of(diane), server)
    assert "100\u00a0%" in html
    assert "Go" in html


def test_the_page_costs_the_same_among_500_servers(browser: Client) -> None:
    (server,) = make_servers("web")
    for resolution, count in (("fine", 96), ("hour", 48), ("day", 10)):
        samples(server, resolution, count)

    def cost() -> list[int]:
        found = []
        for span in SPANS:
            page_of(browser, server, span)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                page_of(browser, server, span)
            found.append(len(queries))
        return found

    alone = cost()
    others = make_servers(*(f"other{number}" for number in range(499)))
    now = timezone.now()
    Sample.objects.bulk_create(
        [
            Sample(server=other, resolution="fine", taken_at=now - number * STEPS["fine"], filesystems={"/": [1] * 5})
            for other in others
            for number in range(4)
        ],
        batch_size=500,
    )
    assert cost() == alone
    assert max(alone) <= 15


def test_reading_one_server_uses_the_index(browser: Client) -> None:
    (server,) = make_servers("web")
    rows = Sample.objects.filter(server=server, resolution="fine", taken_at__gte=timezone.now()).order_by("taken_at")
    assert "(server_id=? AND resolution=? AND taken_at>?)" in rows.explain()
    assert "TEMP B-TREE" not in rows.explain()
    old = Sample.objects.filter(resolution="fine", taken_at__lt=timezone.now()).order_by("taken_at")
    assert "sample_age" in old.explain()


def test_the_admin_lists_who_does_not_answer(browser: Client) -> None:
    (server,) = make_servers("web")
    Sampling.objects.create(server=server, due_at=timezone.now(), failures=3, error_code="SSH-01")
    with CaptureQueriesContext(connection) as queries:
        assert "SSH-01" in browser.get("/admin/servers/sampling/").content.decode()
    assert not any("private_key" in query["sql"] for query in queries)
    assert browser.get(f"/admin/servers/sampling/{server.pk}/change/").status_code == 200
    assert browser.get("/admin/servers/sampling/add/").status_code == 403


# --- the command -------------------------------------------------------------------------------------


def test_the_command_shows_the_last_look(capsys: pytest.CaptureFixture[str]) -> None:
    (server,) = make_servers("web")
    samples(server, "fine", 2)
    call_command("server", "statistics", "web", "--json")
    data = json.loads(capsys.readouterr().out)
    assert (data["server"], data["cpus"], data["load15"], data["load5"]) == ("web", 4, 1, None)
    assert data["filesystems"][0]["used_bytes"] == 40 * GB
    call_command("server", "statistics", "web")
    text = capsys.readouterr().out
    assert "/dev" not in text
    assert re.search(r"^/ +ext4 ", text, re.MULTILINE)


def test_the_command_without_a_sample_says_what_to_do() -> None:
    make_servers("web")
    with pytest.raises(CommandError, match="--now --wait"):
        call_command("server", "statistics", "web")


def test_faked_host_the_command_asks_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run_pending: Callable[..., list[Task]]
) -> None:
    make_servers("web")
    monkeypatch.setattr(statistics, "host_for", Answers({"web": answer(busy=0.125)}).host_for)
    call_command("server", "statistics", "web", "--now", "--json")
    task = json.loads(capsys.readouterr().out)["task"]
    (done,) = run_pending("statistics")
    assert str(done.pk) == task
    call_command("server", "statistics", "web", "--json")
    assert json.loads(capsys.readouterr().out)["cpu_share"] == 0.125
