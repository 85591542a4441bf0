"""What a started database is asked, and what its answers mean: recorded answers of real servers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation

from phpborg.errors import InvalidInput
from recovery.checks import base, queries
from recovery.checks.base import Check, Client, Query
from recovery.checks.mongodb import MongodbChecks
from recovery.checks.mysql import MysqlChecks
from recovery.checks.postgresql import PostgresqlChecks
from recovery.checks.search import SearchChecks
from recovery.services.proof_sample import Sample
from servers.remote import wire
from servers.remote.instant import asked

POSTGRESQL, MYSQL = PostgresqlChecks(), MysqlChecks()
END = "phpborg: all tables"
GOOD = [
    "database\tpostgres",
    "begin\tpostgres\tpublic.kettle",
    "pages\tpostgres\tpublic.kettle\t307\t307",
    "read\tpostgres\tpublic.kettle\t20000\t117000000",
    "begin\tpostgres\tpublic.kettle_pkey",
    "index\tpostgres\tpublic.kettle_pkey\t20000\tpublic.kettle",
]
CUT = 'psql:<stdin>:83: ERROR:  could not read block 153 in file "base/5/16384": read only 100 of 8192 bytes'


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    with translation.override("en"):
        yield


def test_a_whole_cluster_of_postgresql():
    verdict = POSTGRESQL.judge(GOOD, 0, "")
    assert (verdict.tables, verdict.rows, verdict.is_good) == (1, 20000, True)


def test_an_index_that_leads_behind_the_end_of_a_table_is_named_with_the_servers_words():
    verdict = POSTGRESQL.judge(GOOD[:-1], 0, CUT)
    assert [(one.where, one.words) for one in verdict.problems] == [("postgres: public.kettle_pkey", CUT)]


def test_errors_belong_to_what_was_begun_and_not_answered_in_their_order():
    lines = ["database\ta", "begin\ta\tx", "begin\ta\ty", "read\ta\ty\t1\t1", "begin\ta\tz"]
    verdict = POSTGRESQL.judge(lines, 0, "ERROR:  first\nCONTEXT:  of it\nERROR:  second")
    assert [(one.where, one.words) for one in verdict.problems] == [
        ("a: x", "ERROR:  first\nCONTEXT:  of it"),
        ("a: z", "ERROR:  second"),
    ]


def test_what_only_the_library_of_an_extension_could_read_is_no_damage():
    words = 'ERROR:  could not access file "$libdir/postgis-3": No such file or directory'
    verdict = POSTGRESQL.judge([*GOOD, "begin\tpostgres\tpublic.places"], 0, words)
    assert (verdict.is_good, [one.where for one in verdict.unread]) == (True, ["postgres: public.places"])


MONGODB = """\
@ shop
{"find": "teas", "sort": {"_id": 1},
 "limit": 1}
= {"tea": "green", "_id": {"$numberLong": "1"}}
"""


def test_a_query_for_mongodb_is_a_command_and_its_rows_have_one_form():
    (found,) = queries.parse(MONGODB)
    assert found.database == "shop"
    assert found.expected == ('{"_id": 1, "tea": "green"}',)
    assert queries.parse(queries.text_of([found])) == (found,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@ shop\n{ no JSON", "no JSON that can be used"),
        ('@ shop\n{"insert": "teas", "documents": []}', "begins with one of find"),
        ('@ shop\n{"aggregate": "teas", "pipeline": [{"$out": "x"}], "cursor": {}}', "the command writes"),
        ('@ shop\n{"count": "teas"}\n= three', "documents of JSON"),
    ],
)
def test_a_command_that_cannot_be_asked_is_refused_when_it_is_saved(text, words):
    with pytest.raises(InvalidInput, match=words):
        queries.parse(text)


def test_a_query_for_a_search_engine_is_the_body_of_a_search_or_a_get():
    text = """@ items
{"query": {"match_all": {}}}
= { "n": 7, "a": "tea" }
= most | { "value": 7.0 }

@ items
GET /items/_count?filter_path=count
= {"count": 500}"""
    search, get = queries.parse(text)
    assert search.expected == ('{"a":"tea","n":7}', 'most | {"value":7.0}')
    checks = SearchChecks()
    rows = [checks.query(number, one, Client((), ())).as_asked(()) for number, one in enumerate((search, get))]
    assert rows[0]["http"] == {"method": "POST", "path": "/items/_search", "body": '{"query": {"match_all": {}}}'}
    assert rows[1]["http"] == {"method": "GET", "path": "/items/_count?filter_path=count", "body": ""}
    found = asked.checks([checks.read(None, Client((), ())).as_asked(()), *rows], {})
    assert [one.over.query is None for one in found] == [True, False, False]


@pytest.mark.parametrize(
    "text",
    ["@ items\nGET /items/_refresh", "@ items\nGET /a b", "@ items\nGET //x", "@ _doc\n{}", "@ a/_doc\n{}"],
)
def test_a_request_that_writes_or_cannot_be_sent_is_refused_when_it_is_saved(text):
    with pytest.raises(InvalidInput):
        queries.parse(text)


@pytest.mark.parametrize(
    "http",
    [
        {"method": "PUT", "path": "/items"},
        {"method": "POST", "path": "/items/_doc"},
        {"method": "GET", "path": "/items/_flush"},
        {"method": "GET", "path": "items"},
        {"method": "GET", "path": "/a HTTP/1.1"},
    ],
)
def test_the_helper_sends_a_search_engine_nothing_that_writes(http):
    with pytest.raises(wire.Refused):
        asked.checks([{"name": "query-0", "seconds": 1, "http": http}], {})


def test_what_a_search_engine_says_of_its_shards():
    good = ['{"indices": 2}', '{"docs": 5, "index": "items", "shards": 2}', '{"docs": 1, "index": "x", "shards": 1}']
    verdict = SearchChecks().judge(good, 0, "")
    assert (verdict.is_good, verdict.tables, verdict.rows) == (True, 2, 6)
    bad = [*good[:2], '{"index": "x", "shard": 0, "problem": "CorruptIndexException[checksum failed]"}']
    (problem,) = SearchChecks().judge(bad, 0, "").problems
    assert (problem.where, problem.words) == ("x[0]", "CorruptIndexException[checksum failed]")
    refused = [*good[:2], '{"index": "x", "refused": "it is a system index"}']
    verdict = SearchChecks().judge(refused, 0, "")
    assert (verdict.is_good, [one.where for one in verdict.unread]) == (True, ["x"])
    elsewhere = [*good[:2], '{"index": "x", "elsewhere": true}']
    assert [one.where for one in SearchChecks().judge(elsewhere, 0, "").unread] == ["x"]
    for lines, code in ((good, 1), ([], 0), (good[:2], 0), (good[1:], 0), ([*good[:2], '{"docs'], 0)):
        assert not SearchChecks().judge(lines, code, "").is_good


def test_what_mongodb_says_of_its_collections():
    lines = [
        '{"database": "shop"}',
        '{"collection": "shop.teas", "errors": [], "rows": 5, "valid": true, "warnings": []}',
        '{"collection": "shop.cups", "errors": ["missing index entries"], "rows": 1, "valid": false, "warnings": []}',
        '{"collection": "shop.pots", "errors": [], "rows": 2, "valid": true, "warnings": ["it was in use"]}',
        '{"collection": "shop.gone", "refused": "not authorized"}',
        '{"collection": "shop.cut',
    ]
    verdict = MongodbChecks().judge(lines, 0, "")
    assert (verdict.tables, verdict.rows, verdict.problems_count) == (3, 8, 3)
    assert [problem.where for problem in verdict.problems][:2] == ["shop.cups", "shop.gone"]
    assert [one.where for one in verdict.unread] == ["shop.pots"]
    assert MongodbChecks().judge(lines[:2], 0, "").is_good
    for code, told in ((1, lines[:2]), (0, [])):
        assert not MongodbChecks().judge(told, code, "").is_good


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pages\tpostgres\tpublic.kettle\t153\t307", "153 pages, and the server had noted 307"),
        ("index\tpostgres\tpublic.kettle_pkey\t19999\tpublic.kettle", "20000 rows are in the table, and 19999 by"),
    ],
)
def test_a_table_that_is_shorter_than_it_was(line, words):
    lines = [line if one.split("\t")[0] == line.split("\t")[0] else one for one in GOOD]
    (problem,) = POSTGRESQL.judge(lines, 0, "").problems
    assert words in problem.sentence


SEARCH, MONGO = SearchChecks(), MongodbChecks()


@pytest.mark.parametrize(
    ("checker", "lines"),
    [
        (POSTGRESQL, []),
        (POSTGRESQL, GOOD[:-1]),
        (MYSQL, ["shop.kettle\tcheck\twarning\tbusy"]),
        (MYSQL, ["shop.kettle\tcheck\tstatus\tOK"]),
        (SEARCH, ['{"indices": 7}', '{"index": "kettle", "docs": 3}']),
        (SEARCH, []),
        (MONGO, ['{"database": "shop"}']),
        (MONGO, []),
    ],
)
def test_an_answer_without_an_end_is_no_word_of_damage(checker, lines):
    """It was not in time, or longer than it may be."""
    assert checker.judge(lines, None, "it was not answered in time").is_good
    assert not checker.judge([], 1, "it ended the connection").is_good


@pytest.mark.parametrize(
    ("checker", "lines"),
    [
        (POSTGRESQL, [*GOOD[:2], "pages\tpostgres\tpublic.kettle\t1\t307"]),
        (MYSQL, ["shop.a\tcheck\terror\tCorrupt", "shop.a\tNULL", "shop.b\tcheck\tstatus\tOK"]),
        (SEARCH, ['{"indices": 7}', '{"index": "kettle", "shard": 0, "problem": "checksum failed"}']),
        (MONGO, ['{"database": "shop"}', '{"collection": "shop.teas", "valid": false, "errors": ["hash"]}']),
    ],
)
def test_damage_that_was_seen_before_the_time_was_over_counts(checker, lines):
    assert checker.judge(lines, None, "it was not answered in time").problems_count


@pytest.mark.parametrize(("lines", "code", "detail"), [([], 0, ""), (GOOD, 2, "connection lost")])
def test_an_answer_that_is_not_whole_is_none(lines, code, detail):
    assert not POSTGRESQL.judge(lines, code, detail).is_good
    assert not MYSQL.judge([line for line in lines if "check" in line], code, detail).is_good


def test_a_query_that_is_nested_without_end_is_none_of_json():
    deep = "[" * 19_000
    (found,) = queries.parse(f"@ shop\nSELECT 1\n= {deep}")
    assert found.expected == (deep,)
    (found,) = queries.parse(f"@ shop\n{deep}")
    assert found.sql == deep


def test_tables_of_mysql():
    good = ["shop.kettle\tcheck\tstatus\tOK", "shop.kettle\t1579483016", END]
    assert MYSQL.judge(good, 0, "").is_good
    myisam = ["shop.old\tcheck\twarning\t1 client is using or hasn't closed the table", *good]
    crashed = [line.replace("kettle", "old") for line in good]
    assert MYSQL.judge([*myisam, *crashed], 0, "").is_good
    memory = ["shop.m\tcheck\tnote\tThe storage engine for the table doesn't support check", "shop.m\t0"]
    verdict = MYSQL.judge([*good, *memory], 0, "")
    assert (verdict.is_good, [one.where for one in verdict.unread]) == (True, ["shop.m"])


def test_a_server_of_mysql_that_ended_before_the_end_of_the_list_has_not_checked_all():
    """Its client had no more to say, and ended well."""
    verdict = MYSQL.judge(["shop.kettle\tcheck\tstatus\tOK", "shop.kettle\t1579483016"], 0, "")
    (problem,) = verdict.problems
    assert (verdict.tables, problem.words) == (1, "exit 0: not every table was checked")


def test_a_damaged_table_of_mysql_is_named_with_the_servers_words():
    lines = [
        "shop.kettle\tcheck\tWarning\tInnoDB: The B-tree of index PRIMARY is corrupted.",
        "shop.kettle\tcheck\terror\tCorrupt",
        "shop.kettle\tNULL",
        END,
    ]
    verdict = MYSQL.judge(lines, 0, "")
    assert verdict.problems_count == 2
    assert verdict.problems[0].where == "shop.kettle"
    assert "B-tree of index PRIMARY is corrupted" in verdict.problems[0].words


def test_queries_as_text_and_back():
    text = "@ shop\nSELECT 1,\n       2;\n= 1 | 2\n= 3 | 4\n\n@ other base\nSELECT now()"
    found = queries.parse(text)
    assert found == (Query("shop", "SELECT 1,\n       2;", ("1 | 2", "3 | 4")), Query("other base", "SELECT now()"))
    assert queries.parse(queries.text_of(found)) == found
    assert queries.from_json([query.as_json() for query in found]) == found
    assert queries.parse("\n \n") == ()


@pytest.mark.parametrize(
    "text", ["SELECT 1", "@ shop", "@\nSELECT 1", "@ --help\nSELECT 1", "@ a\nSELECT 1\n= 1\nSELECT 2", "@ a\n= 1"]
)
def test_a_query_that_cannot_be_one_names_its_line(text):
    with pytest.raises(InvalidInput) as raised:
        queries.parse(text)
    assert "line " in str(raised.value)


def test_an_answer_is_compared_as_a_person_would_write_it():
    assert base.answer_of(["1\ta ", "2\t", ""]) == ("1 | a", "2 |")


def test_no_check_names_a_secret_and_the_helper_takes_each():
    words = ("-XAtq", "-h", "/phpborg/run", "-U", "phpborg", "-d", "postgres", "-c")
    client = POSTGRESQL.client(("/usr/bin/psql",), words)
    checks = [POSTGRESQL.read(None, client), POSTGRESQL.query(0, Query("shop", "SELECT 1"), client)]  # type: ignore[arg-type]
    client = MYSQL.client(("/usr/bin/mariadb",), ("--defaults-file=/phpborg/run/client.cnf", "-N", "-B", "-e"))
    checks += [Check("other", MYSQL.read(None, client).words)]  # type: ignore[arg-type]
    found = asked.checks([check.as_asked(("/usr/bin/psql",)) for check in checks], {})
    assert [check.name for check in found] == ["read", "query-0", "other"]
    assert found[0].script is not None
    assert found[1].command.stdin == b"SELECT 1\n"


CHECK: dict[str, Any] = {"name": "read", "programs": ["/bin/psql"], "argv": ["-c"], "stdin": "", "seconds": 5}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "--x"},
        {"programs": []},
        {"programs": ["psql"]},
        {"argv": "x"},
        {"stdin": None},
        {"stdin": "x" * ((1 << 20) + 1)},
        {"seconds": 0},
        {"script": {"programs": ["psql"], "argv": []}},
        {"script": "x"},
    ],
)
def test_what_the_helper_refuses_as_a_check(changes):
    with pytest.raises(wire.Refused):
        asked.checks([{**copy.deepcopy(CHECK), **changes}], {})


@pytest.mark.parametrize("rows", [None, [], [CHECK, CHECK], ["x"]])
def test_checks_have_names_of_their_own(rows):
    with pytest.raises(wire.Refused):
        asked.checks(rows, {})


@pytest.mark.parametrize("percent", [1, 10, 50, 100])
def test_a_sample_has_the_share_of_the_bytes_and_is_the_same_again(percent):
    files = [(f"file {number}".encode(), number % 97) for number in range(5000)]

    def chosen(seed: str) -> list[bytes]:
        sample = Sample(seed, percent)
        for path, size in files:
            sample.add(path, size)
        taken = [(path, size) for path, size in files if sample.takes(path)]
        total = sum(size for _path, size in files)
        assert sample.wanted_bytes <= sum(size for _path, size in taken) == sample.chosen_bytes
        assert sum(size for _path, size in taken) <= sample.wanted_bytes + total // 50
        return [path for path, _size in taken]

    assert chosen("a") == chosen("a")
    assert percent == 100 or chosen("a") != chosen("b")


def test_a_sample_of_empty_files_takes_one():
    sample = Sample("seed", 10)
    for number in range(5):
        sample.add(b"%d" % number, 0)
    assert 1 <= sum(sample.takes(b"%d" % number) for number in range(5)) < 5
