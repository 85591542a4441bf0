"""Statistics of real sshd servers, from the clock's queue to the row. One of the two is switched off."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from servers.models import Sample, Sampling, Server
from servers.services import statistics

pytestmark = [pytest.mark.real, pytest.mark.django_db]


def test_a_round_over_ssh(
    enrolled: Callable[..., Server],
    set_up: Callable[..., Task],
    run_pending: Callable[..., list[Task]],
) -> None:
    server = enrolled()
    assert set_up(server).state in (State.SUCCESS, State.NOTES)
    away = Server.objects.create(
        name="away", address="127.0.0.11", port=1, host_key=server.host_key, state=Server.State.READY
    )
    away.private_key, away.user = server.private_key, server.user
    away.save()
    for _ in range(2):
        time.sleep(1.2)  # two looks within one second are one sample
        Sampling.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        assert statistics.request_due()
        task = run_pending(statistics.KIND)[-1]
        assert (task.state, task.result["asked"], task.result["answered"]) == (State.SUCCESS, 2, 1)
    first, second = Sample.objects.filter(server=server).order_by("taken_at")
    for sample in (first, second):
        assert sample.load1 is not None
        assert sample.memory_total_bytes
        assert sample.filesystems["/"][0] > sample.filesystems["/"][1] > 0
        assert sample.cpu_share is not None
        assert 0 <= sample.cpu_share <= 1
    assert first.uptime_seconds
    assert second.uptime_seconds
    assert second.uptime_seconds > first.uptime_seconds
    assert second.received is not None
    assert Sampling.objects.get(server=away).error_code == "SSH-01"
