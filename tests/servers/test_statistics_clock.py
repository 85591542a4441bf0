"""What the clock does for statistics. The hosts are faked (fleet_of_answers.py): each test's name says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from phpborg.scheduling import clock
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from servers import clock as servers_clock
from servers.errors import HostKeyChanged, HostUnreachable
from servers.models import Sample, Sampling, Server
from servers.services import identity, statistics, statistics_keeping
from servers.statistics import places
from tests.servers.fleet_of_answers import Answers, answer, make_servers

pytestmark = pytest.mark.django_db
Run = Callable[..., list[Task]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers()
    monkeypatch.setattr(statistics, "host_for", made.host_for)
    return made


@pytest.fixture
def round_of(run_pending: Run) -> Callable[[], Task | None]:
    """What the clock queues, run at once; None when nobody was due."""

    def run() -> Task | None:
        return run_pending("statistics")[-1] if statistics.request_due() else None

    return run


def overdue(*servers: Server) -> None:
    """As if a quarter of an hour had passed."""
    rows = Sampling.objects.filter(server__in=servers) if servers else Sampling.objects.all()
    rows.update(due_at=timezone.now() - timedelta(seconds=1))


def test_the_clock_knows_of_it() -> None:
    assert {"servers.clock.gather_statistics", "servers.clock.keep_statistics"} <= set(clock.load())


def test_faked_hosts_a_round_asks_every_ready_server_once_and_nobody_else(answers: Answers, round_of: Any) -> None:
    make_servers("one", "two", "three")
    make_servers("new", state="new")
    task = round_of()
    assert sorted(answers.asked) == ["one", "three", "two"]
    assert (task.state, task.is_system, task.queue, task.result) == (
        State.SUCCESS,
        True,
        "system",
        {"asked": 3, "answered": 3},
    )
    assert Sample.objects.count() == 3
    assert round_of() is None
    assert Server.objects.filter(last_seen_at__isnull=False).count() == 3


def test_faked_hosts_the_next_looks_are_spread_and_the_task_list_stays_small(answers: Answers, round_of: Any) -> None:
    make_servers(*(f"web{number}" for number in range(500)))
    for _ in range(5):
        round_of()
    now = timezone.now()
    assert Sample.objects.count() == 500
    assert len(answers.asked) == 500
    assert Task.objects.filter(kind="statistics").count() == 5  # at most 120 in each
    assert answers.most_at_once <= statistics.AT_ONCE
    for row in Sampling.objects.select_related("server"):
        assert timedelta(seconds=400) < row.due_at - now < timedelta(seconds=1350)
        assert row.due_at.timestamp() % 900 == places.place(row.server.pk)


def test_one_round_at_a_time(answers: Answers) -> None:
    make_servers("one")
    assert statistics.request_due() is True
    assert statistics.request_due() is False
    assert Task.objects.filter(kind="statistics").values_list("exclusive", flat=True)[0] == "statistics"
    servers_clock.gather_statistics()
    assert Task.objects.count() == 1


def test_faked_hosts_no_server_is_asked_twice_at_once(answers: Answers, run_pending: Run) -> None:
    (server,) = make_servers("one")
    statistics.request_due()
    statistics.request_now(server=server)
    tasks = run_pending("statistics")
    assert [task.state for task in tasks] == [State.SUCCESS, State.SUCCESS]
    assert len({task.exclusive for task in tasks}) == 1
    assert answers.most_of_one == 1


def test_faked_hosts_an_unreachable_server_stops_no_other_and_is_quiet(answers: Answers, round_of: Any) -> None:
    away, _well = make_servers("away", "well")
    answers.say["away"] = HostUnreachable("Connection refused", address="away.example.org", port=22)
    for failures in range(1, 6):
        task = round_of()
        assert task.state == State.SUCCESS
        assert "away: SSH-01" in task.log_tail
        row = Sampling.objects.get(server=away)
        assert (row.failures, row.error_code, row.error_facts["port"]) == (failures, "SSH-01", 22)
        wait = row.due_at - timezone.now()
        assert wait > timedelta(minutes=15 * (min(failures, 4) - 1) + 7)
        overdue()
    assert Sample.objects.filter(server__name="well").count() >= 1
    assert not Sample.objects.filter(server=away).exists()
    assert not Task.objects.for_people().exists()
    del answers.say["away"]
    round_of()
    row = Sampling.objects.get(server=away)
    assert (row.failures, row.error_code, row.error_facts) == (0, "", {})


def test_faked_hosts_one_that_hangs_holds_up_no_other(answers: Answers, round_of: Any) -> None:
    """The hanging one goes on only when all the others have been written down."""
    make_servers("hangs", *(f"web{number}" for number in range(20)))
    others = threading.Event()

    def hang(_stop: Any) -> dict[str, Any]:
        assert others.wait(20), "the others were not asked"
        raise HostUnreachable(address="hangs", port=22)

    def last(_stop: Any) -> dict[str, Any]:
        others.set()
        return answer()

    # Asked in order of id among the new: whoever comes last, all of them ask through seven threads.
    answers.say["hangs"] = hang
    names = [server.name for server in statistics.due(timezone.now()) if server.name != "hangs"]
    answers.say[names[-1]] = last
    assert round_of().result == {"asked": 21, "answered": 20}


@pytest.mark.parametrize(
    "said",
    [{"schema": 2}, {}, {"schema": 1}, RuntimeError("our own fault")],
    ids=["newer", "empty", "knows nothing", "crash"],
)
def test_faked_hosts_a_strange_answer_is_that_servers_own_matter(answers: Answers, round_of: Any, said: Any) -> None:
    strange, _well = make_servers("strange", "well")
    answers.say["strange"] = said if isinstance(said, Exception) else lambda _stop: said
    assert round_of().state == State.SUCCESS
    assert Sample.objects.filter(server__name="well").count() == 1
    row = Sampling.objects.get(server=strange)
    if said == {"schema": 1}:
        sample = Sample.objects.get(server=strange)
        assert (sample.cpu_share, sample.load1, sample.memory_total_bytes, sample.filesystems) == (None, None, None, {})
    else:
        assert row.error_code == "HLP-09"


def test_faked_hosts_a_row_that_cannot_be_written_stops_no_other(
    answers: Answers, round_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_servers("broken", "well")
    record = statistics.record

    def sometimes(seen: statistics.Seen) -> None:
        if seen.server.name == "broken":
            raise DatabaseError("disk I/O error")
        record(seen)

    monkeypatch.setattr(statistics, "record", sometimes)
    task = round_of()
    assert (task.state, task.result) == (State.NOTES, {"asked": 2, "answered": 1})
    assert "broken: the database did not take it" in task.log_tail
    assert Sample.objects.get().server.name == "well"


def test_faked_hosts_another_identity_is_told_on_the_servers_page(
    answers: Answers, round_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(identity, "look_again", lambda server: looked.append(server.name))
    (server,) = make_servers("web")
    answers.say["web"] = HostKeyChanged(address="web.example.org")
    round_of()
    overdue()
    round_of()
    server.refresh_from_db()
    assert (server.last_error_code, looked) == (HostKeyChanged.code, ["web"])


def test_faked_hosts_rates_come_from_two_rounds(answers: Answers, round_of: Any) -> None:
    make_servers("web")
    answers.say["web"] = answer(1000, busy=0.5, received=1_000_000)
    round_of()
    Sample.objects.update(taken_at=timezone.now() - timedelta(minutes=15))
    overdue()
    answers.say["web"] = answer(1900, busy=0.5, received=1_900_000, cpu_share=0.99)
    round_of()
    first, second = Sample.objects.order_by("taken_at")
    assert (first.cpu_share, first.received) == (0.5, None)
    assert second.cpu_share == pytest.approx(0.5)
    assert (second.received, second.sent) == (1000.0, 500.0)
    assert second.filesystems == {"/": [100 * 10**9, 40 * 10**9, 55 * 10**9, 1000, 100]}


def test_faked_hosts_asked_for_one_server_a_failure_is_the_tasks(answers: Answers, run_pending: Run) -> None:
    (server,) = make_servers("web")
    answers.say["web"] = HostUnreachable(address="web.example.org", port=22)
    statistics.request_now(server=server)
    (task,) = run_pending("statistics")
    assert (task.state, task.error_code) == (State.FAILED, "SSH-01")


def test_faked_hosts_a_server_that_was_removed_meanwhile_is_no_matter(answers: Answers, round_of: Any) -> None:
    (server,) = make_servers("web")
    statistics.request_due()
    seen = statistics.Seen(server, timezone.now(), error=HostUnreachable(address="web", port=22))
    Server.objects.filter(pk=server.pk).delete()
    statistics.record(seen)
    assert not Sampling.objects.exists()


def test_removing_a_server_takes_its_samples(answers: Answers, round_of: Any) -> None:
    (server,) = make_servers("web")
    round_of()
    server.delete()
    assert not Sample.objects.exists()
    assert not Sampling.objects.exists()


# --- hours, days, and the end ------------------------------------------------------------------------

NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)


def fill(server: Server, since: datetime, until: datetime) -> None:
    """A fine sample every 15 minutes; the share is the minute of its hour over 60."""
    count = int((until - since).total_seconds() // 900)
    moments = [since + timedelta(minutes=15 * number) for number in range(count)]
    Sample.objects.bulk_create(
        Sample(
            server=server,
            resolution="fine",
            taken_at=moment,
            cpu_share=moment.minute / 60,
            memory_total_bytes=8,
            filesystems={"/": [100, moment.hour, 50, None, None]},
        )
        for moment in moments
    )
    Sampling.objects.create(server=server, due_at=until, sampled_at=until, summed_until=since)


def test_hours_and_days_are_made_once_and_reach_to_the_last_full_hour() -> None:
    one, two = make_servers("one", "two")
    for server in (one, two):
        fill(server, NOW - timedelta(days=3, hours=12, minutes=30), NOW)
    assert statistics_keeping.sum_up(NOW) == 2
    assert statistics_keeping.sum_up(NOW) == 0
    hours = Sample.objects.filter(server=one, resolution="hour").order_by("taken_at")
    assert (len(hours), hours[0].taken_at, hours.last().taken_at) == (  # type: ignore[union-attr]
        84,
        datetime(2026, 11, 22, tzinfo=UTC),
        datetime(2026, 11, 25, 11, tzinfo=UTC),
    )
    assert hours[5].cpu_share == pytest.approx(0.375)
    assert hours[5].ranges["cpu_share"] == [0, 0.75]
    assert hours[5].filesystems == {"/": [[100, 100, 100], [5, 5, 5], [50, 50, 50], None, None]}
    assert (hours[5].memory_total_bytes, hours[5].load1) == (8, None)
    days = Sample.objects.filter(server=two, resolution="day").order_by("taken_at")
    assert [day.taken_at.day for day in days] == [22, 23, 24]
    assert days[0].filesystems["/"][1] == [12, 0, 23]


def test_summing_hour_by_hour_gives_the_same_as_all_at_once() -> None:
    at_once, by_hour = make_servers("at-once", "by-hour")
    for server in (at_once, by_hour):
        fill(server, NOW - timedelta(days=2), NOW)
    Sampling.objects.filter(server=at_once).update(summed_until=NOW)
    for hours in range(48, -1, -1):
        statistics_keeping.sum_up(NOW - timedelta(hours=hours))
    Sampling.objects.filter(server=at_once).update(summed_until=NOW - timedelta(days=2))
    statistics_keeping.sum_up(NOW)
    kept = ("resolution", "taken_at", "cpu_share", "filesystems", "ranges")
    rows = [
        list(Sample.objects.filter(server=server).exclude(resolution="fine").order_by(*kept[:2]).values_list(*kept))
        for server in (at_once, by_hour)
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 48 + 2


def test_an_hour_is_summed_only_when_its_last_samples_have_come() -> None:
    (server,) = make_servers("one")
    fill(server, NOW.replace(hour=10, minute=0), NOW.replace(hour=11, minute=0))
    assert statistics_keeping.sum_up(NOW.replace(hour=11, minute=10)) == 0
    assert statistics_keeping.sum_up(NOW.replace(hour=11, minute=16)) == 1


def test_each_resolution_is_kept_for_its_time() -> None:
    (server,) = make_servers("one")
    Sampling.objects.create(server=server, due_at=NOW, summed_until=NOW)
    ages = {"fine": (6, 7, 8), "hour": (89, 90, 91), "day": (399, 400, 401)}
    Sample.objects.bulk_create(
        Sample(server=server, resolution=resolution, taken_at=NOW - timedelta(days=days, seconds=1))
        for resolution, each in ages.items()
        for days in each
    )
    assert statistics_keeping.forget(NOW) == 6
    assert sorted(Sample.objects.values_list("resolution", flat=True)) == ["day", "fine", "hour"]


def test_a_fine_sample_does_not_go_before_its_day_is_summed() -> None:
    (server,) = make_servers("one")
    fill(server, NOW - timedelta(days=12), NOW - timedelta(days=10))
    assert statistics_keeping.forget(NOW) == 0
    statistics_keeping.sum_up(NOW)
    assert statistics_keeping.forget(NOW) == 192
    assert Sample.objects.filter(resolution="day").count() == 3


def test_work_comes_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_keeping, "SERVERS_A_BATCH", 2)
    monkeypatch.setattr(statistics_keeping, "ROWS_A_BATCH", 5)
    for server in make_servers("one", "two", "three"):
        fill(server, NOW - timedelta(days=10), NOW - timedelta(days=9, hours=22))
    assert [statistics_keeping.sum_up(NOW) for _ in range(3)] == [2, 1, 0]
    assert [statistics_keeping.forget(NOW) for _ in range(6)] == [5, 5, 5, 5, 4, 0]
