"""From an event of a running task to the screen: 50 running tasks, 200 viewers over real websockets."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

from tests.support.product import HOME, Product

MARK = re.compile(rb"bench-(\d{10,})-end")

SETUP = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from phpborg.accounts.models import User
from phpborg.tasks.models import Task
user = User.objects.create_user("viewer", role="admin", language="{language}")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
now = timezone.now()
rows = [Task(kind="backup", queue="backup", state="running", subject=f"job {{n}}", started_at=now, heartbeat_at=now,
             worker="bench", phase="transferring") for n in range({tasks})]
Task.objects.bulk_create(rows)
import json
print(json.dumps({{"session": session.session_key, "tasks": [str(row.pk) for row in rows]}}))
"""

# One event of each task twice a second, as `TaskContext.progress` sends them.
PUBLISH = """
import sys, time
import django; django.setup()
from phpborg.tasks import live, progress
from phpborg.tasks.models import Task
tasks = list(Task.objects.order_by("pk"))
seconds, pace = float(sys.argv[1]), 0.5
until, number = time.monotonic() + seconds, 0
while time.monotonic() < until:
    round_ends = time.monotonic() + pace
    for place, task in enumerate(tasks):
        number += 1
        now = {"files": number, "original_bytes": number * 10**6, "compressed_bytes": number * 10**5,
               "deduplicated_bytes": number * 10**4, "rate_now": 1e8, "rate_average": 9e7, "share": None,
               "expected_bytes": None, "remaining_seconds": None, "path": f"/srv/bench-{time.time_ns()}-end"}
        progress.store(task.pk, now)
        live.publish(task, now)
        # Spread over the half second, as tasks that know nothing of each other are.
        rest = round_ends - pace + pace * (place + 1) / len(tasks) - time.monotonic()
        if rest > 0:
            time.sleep(rest)
print(number)
"""


@dataclass
class Viewer:
    """One browser: a websocket that watches one task and the task bar."""

    port: int
    session: str
    task: str
    latencies_ms: list[float] = field(default_factory=list)
    messages: int = 0
    bytes: int = 0
    seen: bytes = b""

    async def watch(self, ready: asyncio.Event, until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /ws/live/?watch=task:{self.task} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Origin: http://127.0.0.1:{self.port}\r\nCookie: sessionid={self.session}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        await ready.wait()
        try:
            while time.monotonic() < until:
                await asyncio.wait_for(self._frame(reader), until - time.monotonic())
        except TimeoutError:
            pass
        writer.close()

    async def _frame(self, reader: asyncio.StreamReader) -> None:
        first = await reader.readexactly(2)
        size = first[1] & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8), "big")
        text = await reader.readexactly(size)
        arrived = time.time_ns()
        self.messages += 1
        self.bytes += size
        if first[0] & 0x0F != 1 or f'id="task-{self.task}"'.encode() not in text:
            return
        marks = MARK.findall(text)
        newest = max(marks, default=b"")
        if newest and newest != self.seen:
            self.seen = newest
            self.latencies_ms.append((arrived - int(newest)) / 1e6)


async def measure(product: Product, facts: dict[str, object], viewers: int, seconds: float) -> list[Viewer]:
    """Connect everybody, then let the tasks speak."""
    tasks = list(facts["tasks"])  # type: ignore[call-overload]
    people = [Viewer(product.port, str(facts["session"]), tasks[n % len(tasks)]) for n in range(viewers)]
    ready = asyncio.Event()
    until = time.monotonic() + seconds + 20
    watching = [asyncio.create_task(person.watch(ready, until)) for person in people]
    await asyncio.sleep(5)
    ready.set()
    publisher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PUBLISH, str(seconds), env=product.env, cwd=HOME, stdout=subprocess.PIPE
    )
    await publisher.wait()
    await asyncio.sleep(2)
    for watcher in watching:
        watcher.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return people


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    product = Product().prepare()
    try:
        product.start(workers={})
        # The clock would call these invented tasks lost.
        product.end("clock")
        facts = json.loads(product.python(SETUP.format(tasks=options.tasks, language="fr")))
        people = asyncio.run(measure(product, facts, options.viewers, options.seconds))
    finally:
        product.stop()
        shutil.rmtree(product.root, ignore_errors=True)
    report(people, options)


def report(people: list[Viewer], options: argparse.Namespace) -> None:
    """The table and the line for machines."""
    latencies = sorted(value for person in people for value in person.latencies_ms)
    quantiles = statistics.quantiles(latencies, n=100)
    rows = [
        ("running tasks", options.tasks),
        ("viewers", options.viewers),
        ("events a second", options.tasks * 2),
        ("events seen", len(latencies)),
        ("viewers who saw events", sum(1 for person in people if person.latencies_ms)),
        ("messages a viewer and second", round(sum(p.messages for p in people) / len(people) / options.seconds, 2)),
        ("median (ms)", round(quantiles[49], 1)),
        ("p95 (ms)", round(quantiles[94], 1)),
        ("p99 (ms)", round(quantiles[98], 1)),
        ("worst (ms)", round(latencies[-1], 1)),
    ]
    for name, value in rows:
        print(f"{name:<32}{value:>12}")
    print("RESULT " + json.dumps({"event_to_screen_p95_ms": round(quantiles[94], 1), "events_seen": len(latencies)}))


if __name__ == "__main__":
    main()
