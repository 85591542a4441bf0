"""Gathering statistics: one task asks all the servers whose time has come, a few at once.

Why not a task for each server: 500 servers and 96 looks a day would be 48 000 rows, log files and turns of
the queue a day, 670 000 rows in the two weeks that system tasks are kept. A round every three minutes makes
480 at most, however many servers there are, and none while nobody is due. A server that is away costs its
time-out in one thread, is written down once in its own row (`Sampling`), and is asked less often.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django.utils import timezone

from phpborg.crypto import redact
from phpborg.errors import PhpBorgError
from phpborg.tasks import queue
from phpborg.tasks.context import StopSignal
from phpborg.tasks.errors import AlreadyActive
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from phpborg.tasks.text import deep, printable
from servers.errors import HostKeyChanged, RemoteFailed
from servers.models import Sample, Sampling, Server
from servers.services import identity, statistics_rows
from servers.services.reach import host_for
from servers.statistics import downsample, places
from servers.statistics.rates import between
from servers.statistics.sample import Reading, parse

log = logging.getLogger(__name__)
KIND = "statistics"
# The longest that a server may think; one that is switched off costs ssh's own ten seconds.
SECONDS_EACH = 20
# A round has an end even when every server is away: 120 / 8 × 20 s are five minutes.
SERVERS_A_ROUND, AT_ONCE = 120, 8
ROUND_SECONDS = 600
# Hundreds of filesystems and cards; read, it takes some thirty times that of memory, and eight are read at once.
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Seen:
    """What one server answered, or why it did not."""

    server: Server
    at: datetime
    reading: Reading | None = None
    error: PhpBorgError | None = None


def due(now: datetime) -> Any:
    """Ready servers whose time has come, the longest overdue first; new ones come at once."""
    waiting = Q(sampling__isnull=True) | Q(sampling__due_at__lte=now)
    return Server.objects.ready().filter(waiting).order_by(F("sampling__due_at").asc(nulls_first=True), "pk")


def request_due() -> bool:
    """For the clock: queue a round when somebody is due and no round is waiting or running."""
    if not due(timezone.now()).exists():
        return False
    try:
        _enqueue(trigger=Trigger.SYSTEM)
    except AlreadyActive:
        return False
    return True


def request_now(*, server: Server, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue a look at one server; it waits for the round that runs. Raises AlreadyActive."""
    return _enqueue(server=server, subject=server.name, by=by, trigger=trigger)


def _enqueue(**what: Any) -> Task:
    # One at a time, rounds and single looks alike: so no server is ever asked twice at once.
    return queue.enqueue(KIND, exclusive=KIND, deadline_seconds=ROUND_SECONDS, unless_active=True, **what)


def claim_due() -> list[Server]:
    """Take the servers of a round: each gets its next time before it is asked, so that a crash repeats nothing."""
    now = timezone.now()
    with transaction.atomic():
        # A server that is removed at this moment waits until its row is written, and takes it along.
        chosen = [server.pk for server in due(now)[:SERVERS_A_ROUND]]
        servers = list(Server.objects.select_for_update().filter(pk__in=chosen))
        rows = [Sampling(server=server, due_at=places.next_due(server.pk, now)) for server in servers]
        Sampling.objects.bulk_create(rows, update_conflicts=True, update_fields=["due_at"], unique_fields=["server"])
    order = {pk: place for place, pk in enumerate(chosen)}
    return sorted(servers, key=lambda server: order[server.pk])


def look(servers: Iterable[Server], *, stop: StopSignal) -> Iterator[Seen]:
    """Ask them, a few at once; answers come as they come. One that fails or hangs holds up no other."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="statistics") as pool:
        # No thread touches the database: rows are written by whoever reads this.
        waiting = [pool.submit(_look_at, server, stop) for server in servers]
        try:
            for future in as_completed(waiting):
                stop.check()
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()


def _look_at(server: Server, stop: StopSignal) -> Seen:
    try:
        answer = host_for(server).call("statistics", timeout=SECONDS_EACH, stop=stop, most_bytes=MOST_BYTES)
        return Seen(server, timezone.now(), parse(answer))
    except PhpBorgError as error:
        return Seen(server, timezone.now(), error=error)
    except ValueError as error:
        return Seen(server, timezone.now(), error=RemoteFailed(str(error), address=server.address or "localhost"))
    except Exception as error:
        log.exception("statistics of server %s", server.pk)
        words = redact(f"{type(error).__name__}: {error}")[:300]
        return Seen(server, timezone.now(), error=RemoteFailed(words, address=server.address or "localhost"))


def record(seen: Seen) -> None:
    """Write down a sample with its rates, or a failure. A server that was removed meanwhile is no matter."""
    with transaction.atomic():
        if not Server.objects.filter(pk=seen.server.pk).exists():
            return
        row = Sampling.objects.filter(server=seen.server).first() or Sampling(server=seen.server)
        if seen.reading is None:
            _record_failure(row, seen)
        else:
            _record_sample(row, seen, seen.reading)


def _record_sample(row: Sampling, seen: Seen, reading: Reading) -> None:
    elapsed = (seen.at - row.sampled_at).total_seconds() if row.sampled_at else None
    rates = between(statistics_rows.last_reading(row), reading, elapsed)
    # The same second twice, after `--now`, is one sample.
    Sample.objects.bulk_create([statistics_rows.fine(seen.server, seen.at, reading, rates)], ignore_conflicts=True)
    row.due_at = places.next_due(seen.server.pk, seen.at)
    row.sampled_at, row.last = seen.at, reading.as_answer()
    row.summed_until = row.summed_until or downsample.floor(seen.at, downsample.HOUR)
    row.failures, row.error_code, row.error_facts, row.error_detail = 0, "", {}, ""
    row.save()
    Server.objects.filter(pk=seen.server.pk).update(last_seen_at=seen.at)


def _record_failure(row: Sampling, seen: Seen) -> None:
    assert seen.error is not None
    row.failures += 1
    row.due_at = places.next_due(seen.server.pk, seen.at, row.failures)
    row.error_code, row.error_facts = seen.error.code, deep(seen.error.facts)
    row.error_detail = printable(redact(seen.error.detail))[:1000]
    row.save()


def gather(servers: list[Server], *, stop: StopSignal, say: Callable[[str], None]) -> list[Seen]:
    """Ask and record; a row that cannot be written stops no other."""
    told = []
    for seen in look(servers, stop=stop):
        if seen.error is not None:
            say(f"{seen.server.name}: {seen.error.code} {seen.error}")
        try:
            record(seen)
        except DatabaseError:
            log.exception("statistics of server %s are not written down", seen.server.pk)
            say(f"{seen.server.name}: the database did not take it")
            continue
        _tell_of_identity(seen)
        told.append(seen)
    return told


def _tell_of_identity(seen: Seen) -> None:
    """Another machine answers: the server's page says so with both fingerprints, once, as after any task."""
    code = HostKeyChanged.code
    if seen.error is None or seen.error.code != code or seen.server.last_error_code == code:
        return
    seen.server.last_error_code = code
    if Server.objects.filter(pk=seen.server.pk).update(last_error_code=code):
        identity.look_again(seen.server)
