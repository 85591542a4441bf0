"""Random histories of archives, as a job makes them and as it does not, and what Borg's own code keeps of them."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from backups.retention import Candidate, Decision, Policy, Rule, decide

CHOICE = Path(__file__).parent / "borgs_choice.py"
ZONES = ("UTC", "Europe/Paris", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu")
ZONES += ("Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "Pacific/Chatham")
HOUR, DAY = 3600, 86400


@dataclass(frozen=True)
class History:
    """Archives of one job as (id, seconds since the epoch), with a policy and a moment."""

    zone: str
    now: int
    archives: tuple[tuple[str, int], ...]
    policy: dict[str, int]

    def asked(self) -> str:
        return json.dumps({"zone": self.zone, "now": self.now, "archives": self.archives, "policy": self.policy})

    def ours(self) -> Decision:
        counts = {name: count for name, count in self.policy.items() if name != "within"}
        within = timedelta(hours=self.policy["within"]) if self.policy.get("within") else None
        candidates = [Candidate(key, key, datetime.fromtimestamp(at, UTC)) for key, at in self.archives]
        now = datetime.fromtimestamp(self.now, UTC)
        return decide(candidates, Policy(**counts, within=within), ZoneInfo(self.zone), now)

    @property
    def has_repeated_hour(self) -> bool:
        """Is one of them in an hour that its clock shows twice, or on a date that it shows twice?"""
        zone = ZoneInfo(self.zone)
        locals_ = [datetime.fromtimestamp(at, UTC).astimezone(zone) for _, at in self.archives]
        shown = [(one.replace(minute=0, second=0, tzinfo=None), one.utcoffset()) for one in locals_]
        hours = {hour for hour, _ in shown}
        dates = [one.date() for one in sorted(locals_, key=lambda one: one.timestamp())]
        return len(hours) != len(set(shown)) or dates != sorted(dates)


def by_rules(decision: Decision) -> dict[str, list[Any]]:
    """As Borg writes it: {id: [rule, number]}."""
    found = {}
    for verdict in decision.verdicts:
        for reason in verdict.reasons:
            if isinstance(reason.why, Rule):
                name = {"last": "secondly"}.get(reason.why.value, reason.why.value)
                found[str(verdict.candidate.key)] = [name + ("[oldest]" if reason.is_oldest else ""), reason.number]
    return found


def borgs(python: str, histories: list[History]) -> list[dict[str, list[Any]]]:
    """Borg's own choice for each, by an interpreter that has Borg."""
    asked = "".join(history.asked() + "\n" for history in histories)
    done = subprocess.run([python, str(CHOICE)], input=asked, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def random_history(dice: random.Random) -> History:
    """Regular, irregular, sparse and crowded ones; rules of every mixture, unlimited ones among them."""
    now = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) - dice.randrange(3 * 365 * DAY)
    step = dice.choice([900, HOUR, 4 * HOUR, DAY, DAY, 3 * DAY, 7 * DAY, 40 * DAY])
    count = dice.choice([0, 1, 2, 7, 30, 60])
    spread = dice.choice([0, 60, step // 2, 3 * step])
    times = {now - 1 - number * step - dice.randint(0, max(spread, 0)) for number in range(count)}
    archives = [(f"a{number}", at) for number, at in enumerate(sorted(times))]
    dice.shuffle(archives)
    policy = {}
    for rule in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        if dice.random() < 0.45:
            policy[rule] = dice.choice([1, 1, 2, 3, 5, 7, 24, -1])
    if dice.random() < 0.3 or not policy:
        policy["within"] = dice.choice([1, 6, 24, 24 * 7, 24 * 31])
    return History(dice.choice(ZONES), now, tuple(archives), policy)
