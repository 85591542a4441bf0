"""Ten thousand histories: what we keep, and why, is what Borg's own code keeps; where it is not, it is on purpose."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from tests.borg.borg14 import borg14
from tests.retention.histories import History, borgs, by_rules, random_history

pytestmark = pytest.mark.real
HISTORIES = 5_000  # for each of the two


@pytest.fixture(params=["1.2", "1.4"])
def interpreter(request: pytest.FixtureRequest) -> str:
    """One that has Borg: Debian's, or the one that is built for the tests."""
    return str(borg14().parent / "python") if request.param == "1.4" else "/usr/bin/python3"


def test_we_keep_what_borg_keeps_and_for_its_reasons(interpreter: str) -> None:
    dice = random.Random(f"histories of {interpreter}")
    histories = [random_history(dice) for _ in range(HISTORIES)]
    plain = [history for history in histories if not history.has_repeated_hour]
    assert len(plain) > HISTORIES * 0.9
    kept = borgs(interpreter, plain)
    assert len(kept) == len(plain)
    for history, theirs in zip(plain, kept, strict=True):
        assert by_rules(history.ours()) == theirs, history
    assert sum(len(theirs) for theirs in kept) > HISTORIES
    assert sum(len(history.archives) - len(theirs) for history, theirs in zip(plain, kept, strict=True)) > HISTORIES


def test_where_ours_is_another(interpreter: str) -> None:
    """Berlin's clock goes from 3 to 2 at 01:00Z on 25 October: two hours went by, Borg sees one."""
    times = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1, 2)]
    archives = tuple((f"{at:%H}Z", int(at.timestamp())) for at in times)
    now = int(datetime(2026, 10, 25, 4, tzinfo=UTC).timestamp())
    history = History("Europe/Berlin", now, archives, {"hourly": 2})
    (theirs,) = borgs(interpreter, [history])
    assert sorted(theirs) == ["01Z", "02Z"]
    assert sorted(by_rules(history.ours())) == ["01Z", "02Z"]
    history = History("Europe/Berlin", now, archives, {"hourly": 24})
    (theirs,) = borgs(interpreter, [history])
    assert theirs == {"02Z": ["hourly", 1], "01Z": ["hourly", 2], "00Z": ["hourly[oldest]", 3]}
    assert by_rules(history.ours()) == {"02Z": ["hourly", 1], "01Z": ["hourly", 2], "00Z": ["hourly", 3]}
