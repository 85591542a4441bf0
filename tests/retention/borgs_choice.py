"""Run by an interpreter that has Borg: histories in, Borg's own choice out. Needs nothing else of this repository.

Lines of JSON: {"zone", "now", "archives": [[id, seconds UTC]], "policy": {"within": hours or null, "last": n, …}}.
Answers a line for each: {id: [rule, number]}.
"""

import json
import os
import sys
import time
from collections import namedtuple
from datetime import UTC, datetime

from borg.helpers import misc

One = namedtuple("One", "id ts")
RULES = {"last": "secondly", **{rule: rule for rule in ("hourly", "daily", "weekly", "monthly", "yearly")}}


class Clock(datetime):
    """Borg asks what time it is."""

    moment = 0.0

    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(cls.moment, tz)


def moment(seconds):
    """As this version of Borg writes its times: 1.2 without a zone, later with one."""
    aware = datetime.fromtimestamp(seconds, UTC)
    return aware if AWARE else aware.replace(tzinfo=None)


def chosen(asked):
    os.environ["TZ"] = asked["zone"]
    time.tzset()
    Clock.moment = asked["now"]
    archives = [One(key, moment(seconds)) for key, seconds in asked["archives"]]
    archives.sort(key=lambda one: one.ts, reverse=True)
    because = {}
    if asked["policy"].get("within"):
        misc.prune_within(archives, asked["policy"]["within"], because)
    for ours, theirs in RULES.items():
        if asked["policy"].get(ours):
            misc.prune_split(archives, theirs, asked["policy"][ours], because)
    return {key: list(value) for key, value in because.items()}


def aware():
    """Does it compare aware times?"""
    misc.datetime = Clock
    try:
        misc.prune_within([One("x", datetime.now(UTC))], 1, {})
    except TypeError:
        return False
    return True


AWARE = aware()
for line in sys.stdin:
    sys.stdout.write(json.dumps(chosen(json.loads(line))) + "\n")
