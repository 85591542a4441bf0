"""How long a plan gives containers to become well."""

from __future__ import annotations

from dockerops.options import Options
from tests.dockerops import sample
from tests.dockerops.test_conflicts import PROJECT
from tests.dockerops.test_planning import plan, steps


def test_how_long_a_container_has_is_its_own_and_who_was_unwell_is_not_asked():
    raw = sample.manifest()
    rows = {one["name"]: one for one in raw["containers"]}
    waits = {step.params["container"]: step.params["seconds"] for step in plan(PROJECT).steps if step.op == "healthy"}
    assert set(waits.values()) == {15 * 60}
    check = {"Test": ["CMD", "x"], "StartPeriod": 1800 * 10**9, "Interval": 50 * 10**9, "Timeout": 10**10, "Retries": 9}
    rows["kiosk_db_1"]["create"]["Healthcheck"] = check
    rows["kiosk_web_1"]["health"] = "unhealthy"
    made = plan(PROJECT, Options(wait_minutes=1), raw=raw)
    waits = {step.params["container"]: step.params["seconds"] for step in made.steps if step.op == "healthy"}
    assert waits == {"kiosk_db_1": 1800 + 10 * 60}
    assert ("start", "kiosk_web_1") in steps(made, "start")
