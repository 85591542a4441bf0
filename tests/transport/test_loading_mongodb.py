"""What mongorestore is told, and what it has to have said: compared with what the archive holds."""

from __future__ import annotations

import pytest

from servers.remote import wire
from servers.remote.loaders import mongodb
from servers.remote.probes import bson
from servers.remote.producers.mongodb import Walk


@pytest.mark.parametrize(
    ("into", "words"),
    [
        ({"database": None}, []),
        ({"database": None, "replace": True}, ["--drop"]),
        ({"database": "shop", "as": "shop", "replace": True}, ["--drop", "--nsInclude=shop.*"]),
        ({"database": "-x", "as": "new"}, ["--nsInclude=-x.*", "--nsFrom=-x.*", "--nsTo=new.*"]),
    ],
)
def test_what_mongorestore_is_told_to_choose_and_rename(into, words):
    assert mongodb.names(into) == words


@pytest.mark.parametrize("name", ["", "a.b", "a$b", "a*b", "a/b"])
def test_a_name_that_would_mean_several_databases_of_mongodb_is_refused(name):
    with pytest.raises(wire.Refused, match="cannot be the name"):
        mongodb.names({"database": "shop", "as": name})


def test_the_accounts_of_mongodb_are_a_choice_of_their_own():
    accounts = [f"admin.system.{name}" for name in ("users", "roles", "version")]
    admin = {"database": "admin", "as": "admin", "replace": True}
    assert mongodb.names(admin) == ["--drop", "--nsInclude=admin.*", *(f"--nsExclude={name}" for name in accounts)]
    users = {"database": "admin", "as": "admin", "replace": False, "accounts": True}
    assert mongodb.names(users) == [f"--nsInclude={name}" for name in accounts]


HELD = {
    ("shop", "items"): 5,
    ("shop", "empty"): 0,
    ("shop", "weather"): 0,
    ("shop", "system.buckets.weather"): 2,
    ("shop", "system.profile"): 9,
    ("shop", "system.js"): 1,
    ("other", "x"): 3,
    ("admin", "system.users"): 2,
    ("", "oplog"): 4,
}


@pytest.mark.parametrize(
    ("into", "wanted"),
    [
        (
            {"database": "shop", "as": "new"},
            {"new.items": 5, "new.empty": 0, "new.weather": 2, "new.system.js": 1},
        ),
        ({"database": "admin", "as": "admin"}, {}),
        ({"database": "admin", "as": "admin", "accounts": True}, {}),
        (
            {"database": None},
            {"shop.items": 5, "shop.empty": 0, "shop.weather": 2, "shop.system.js": 1, "other.x": 3},
        ),
    ],
)
def test_what_mongorestore_has_to_report(into, wanted):
    """What it writes by commands of their own, or never, it does not count."""
    assert mongodb.expected(HELD, into) == wanted


def test_fewer_documents_and_silence_are_seen():
    wanted = {"a.b": 5, "a.c": 0, "a.d": 2, "a.e": 1}
    assert mongodb.differences(wanted, {"a.b": 5, "a.c": 0, "a.d": 2, "a.e": 3}, {"a.b": 0}) == []
    assert mongodb.differences(wanted, {"a.b": 4, "a.d": 2, "a.e": 1}, {"a.d": 1}) == [
        "4 of 5 documents of a.b",
        "nothing was said of a.c, which has 0 documents",
        "2 of 2 documents of a.d",
    ]


def test_an_archive_says_what_it_holds_and_a_view_holds_nothing():
    end = b"\xff" * 4
    names = [{"db": "shop", "collection": name} for name in ("items", "seen", "older")]
    kinds = [{"metadata": "{}", "type": "collection"}, {"type": "view"}, {"metadata": '{"options":{"viewOn":"items"}}'}]
    listed = [bson.encode({**name, **kind}) for name, kind in zip(names, kinds, strict=True)]
    head = bson.encode({"version": "0.1"})
    begin, close = (bson.encode({**names[0], "EOF": over, "CRC": 1 << 40}) for over in (False, True))
    data = [bson.encode({"_id": number}) for number in range(3)]
    whole = b"".join([b"\x6d\xe2\x99\x81", head, *listed, end, begin, *data, end, close, end])
    for size in (1, 7, len(whole)):
        walk = Walk()
        for start in range(0, len(whole), size):
            walk.feed(whole[start : start + size])
        assert (walk.missing(), walk.held, walk.databases) == (None, {("shop", "items"): 3}, {"shop"}), size
