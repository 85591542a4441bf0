"""Small tasks with a behaviour each: they sleep, fail, crash, hold things, start processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from phpborg import process
from phpborg.crypto import remember_secret
from phpborg.errors import InvalidInput
from phpborg.tasks import leases
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Finding, Outcome, kind, lease_kind
from phpborg.tasks.states import State


@kind("test_quick", label=_("Quick test"), queue="quick")
def run_quick(context: TaskContext) -> Outcome:
    """Ends at once; writes its id into a file when asked, so that a second run would be seen."""
    if "trace" in context.params:
        with open(context.params["trace"], "a") as file:
            file.write(f"{context.task.pk}\n")
    return Outcome(State(context.params.get("state", "success")), result={"done": True})


@kind("test_sleep", label=_("Sleeping test"), queue="quick")
def run_sleep(context: TaskContext) -> None:
    """Looks at `stop` while it sleeps."""
    context.phase("transferring")
    until = time.monotonic() + context.params.get("seconds", 60)
    while time.monotonic() < until:
        context.stop.check()
        context.progress(files=int(time.monotonic()), original_bytes=1000)
        time.sleep(0.05)


@kind("test_process", label=_("Test with a process"), queue="backup")
def run_process(context: TaskContext) -> Outcome:
    """A child process and a lease on its directory, as a backup has them."""
    directory, _lease = context.private_directory("test")
    pids = directory.parent / f"{context.task.pk}.pid"
    shell = ("sh", "-c", 'trap "exit 130" INT; echo $$; sleep 300 & wait')
    lease = context.hold("process")

    def started(pid: int) -> None:
        context.update_lease(lease, pid=pid, started=leases.process_started_at(pid))
        pids.write_text(str(pid))

    result = process.stream(shell, stop=context.stop, on_start=started, on_stdout=lambda line: None)
    context.stop.check()
    return Outcome(State.SUCCESS if result.ok else State.FAILED)


@kind("test_fail", label=_("Failing test"), queue="quick")
def run_fail(context: TaskContext) -> None:
    """An expected failure."""
    with context.step("first", _("Running")):
        context.log("about to fail")
        raise InvalidInput("the tool's own words", field="port", problem="taken")


@kind("test_crash", label=_("Crashing test"), queue="quick", retryable=False)
def run_crash(context: TaskContext) -> None:
    """A defect, with a secret in its message."""
    remember_secret("hunter2-secret")
    raise RuntimeError("wrong passphrase hunter2-secret")


@kind("test_findings", label=_("Test with findings"), queue="quick")
def run_findings(context: TaskContext) -> Outcome:
    """More findings than anybody reads."""
    found = tuple(Finding("unreadable", "x" * 900, f"/data/{number}") for number in range(5000))
    return Outcome(State.INCOMPLETE, found)


@kind("test_log", label=_("Talking test"), queue="quick")
def run_log(context: TaskContext) -> None:
    """Very many lines."""
    for number in range(context.params["lines"]):
        context.log(f"line {number} é" + "x" * 200)


@kind("test_storm", label=_("Storm of progress"), queue="quick")
def run_storm(context: TaskContext) -> None:
    """As many progress events as asked, in as many seconds."""
    events, seconds = context.params["events"], context.params["seconds"]
    began = time.monotonic()
    for number in range(events):
        context.stop.check()
        context.progress(files=number, original_bytes=number * 1000)
        due = began + (number + 1) * seconds / events
        if (pause := due - time.monotonic()) > 0:
            time.sleep(pause)
    context.phase("proving")


@lease_kind("test_file")
def remove_file(data: dict[str, str]) -> None:
    """Remove a file, note the order; one that is named so resists."""
    path = Path(data["path"])
    if path.exists() and data.get("resist") and not os.environ.get("PHPBORG_TEST_YIELD"):
        raise OSError(f"{path} resists")
    path.unlink(missing_ok=True)
    with open(data["order"], "a") as file:
        file.write(f"{path.name}\n")


@kind("test_holds", label=_("Test that holds things"), queue="quick")
def run_holds(context: TaskContext) -> None:
    """Three things, the second may resist; then whatever `then` says."""
    for name in ("one", "two", "three"):
        path = Path(context.params["directory"]) / name
        resist = name in context.params.get("resist", ())
        context.hold("test_file", path=str(path), order=context.params["order"], resist=resist)
        path.write_text(name)
    if context.params.get("then") == "crash":
        raise RuntimeError("boom")


@kind("test_live", label=_("Test that lives"), queue="sessions", retryable=False)
def run_live(context: TaskContext) -> Outcome:
    """Lives until it is stopped, which is its good end."""
    context.phase("transferring")
    while not context.stop.wait(0.1):
        context.progress(files=1)
    if context.stop.reason != "cancel":
        context.stop.check()
    return Outcome()
