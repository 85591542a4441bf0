"""A dump of SQL on its way: what it announces, what is left out, and which statement stands at a line."""

from __future__ import annotations

import time

import pytest

from servers.remote.dockers import loading
from servers.remote.dockers.sqldump import Passing

POSTGRESQL = b'''--
-- PostgreSQL database cluster dump
--

CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$canary';
CREATE ROLE "it's; a ""role""";
CREATE ROLE other;

\\connect template1

\\connect shop

CREATE TABLE public.t (
    n integer
);
CREATE ROLE postgres;

COPY public.t (n) FROM stdin;
1
\\\\.
COPY x FROM stdin;
3
\\.

COPY public.empty (n) FROM stdin;
\\.

SELECT pg_catalog.setval('public.s', 3, true);
--
-- PostgreSQL database cluster dump complete
--
'''


def passed(passing: Passing, data: bytes, size: int) -> bytes:
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join([*map(passing.feed, chunks), passing.end()])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_roles_that_are_there_are_not_made_again_and_rows_are_counted(size: int) -> None:
    passing = Passing("postgresql", ["postgres", 'it\'s; a "role"'])
    out = passed(passing, POSTGRESQL, size)
    expected = POSTGRESQL.replace(b"CREATE ROLE postgres;\nALTER", b"\nALTER", 1)
    expected = expected.replace(b'CREATE ROLE "it\'s; a ""role""";', b"", 1)
    assert out == expected
    assert (passing.tables, passing.rows, passing.whole) == (2, 4, True)


def test_a_statement_is_known_by_its_line_and_shows_no_data() -> None:
    passing = Passing("postgresql")
    passed(passing, POSTGRESQL, 50)
    lines = POSTGRESQL.splitlines()
    assert passing.statement(lines.index(b"3") + 1) == "COPY public.t"
    assert passing.statement(lines.index(b"    n integer") + 1) == "CREATE TABLE public.t"
    assert passing.statement(6) == "ALTER ROLE postgres WITH SUPERUSER PASSWORD"[:19]
    assert passing.statement(1) == ""
    seen = " ".join(passing.statement(number) for number in range(len(lines)))
    assert "canary" not in seen


def test_a_dump_that_was_cut_is_not_whole() -> None:
    passing = Passing("postgresql")
    passed(passing, POSTGRESQL[:-80], 50)
    assert not passing.whole


def test_a_line_of_accounts_without_an_end_goes_on_at_once() -> None:
    passing, block = Passing("postgresql", ["postgres"]), b"x" * (1 << 18)
    assert passing.feed(b"CREATE ROLE postgres;\n" + block) == b"\n" + block
    assert [len(passing.feed(block)) for _ in range(64)] == [1 << 18] * 64
    assert passing.feed(b"\nCREATE ROLE postgres;\nCREATE ROLE new;\n") == b"\n\nCREATE ROLE new;\n"
    assert passing.statement(4) == "CREATE ROLE new"


def test_many_short_lines_of_accounts_take_no_long_time() -> None:
    passing, before = Passing("postgresql"), time.process_time()
    assert passing.feed(b"\n" * (1 << 18)) == b"\n" * (1 << 18)
    assert time.process_time() - before < 3


MYSQL = b"""-- MariaDB dump 10.19
USE `mysql`;
CREATE TABLE `db` (
INSERT INTO `db` VALUES ('canary');
USE `shop`;
CREATE TABLE `t` (
  `n` int
);
INSERT INTO `t` VALUES (1),(2);
DELIMITER ;;
CREATE PROCEDURE p()
CREATE TABLE `of a routine` (n int);;
DELIMITER ;
CREATE TABLE IF NOT EXISTS `u` (
-- Dump completed on 2026-11-27
"""


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_tables_of_mysql_are_counted_without_its_own_and_those_of_routines(size: int) -> None:
    passing = Passing("mysql")
    assert passed(passing, MYSQL, size) == MYSQL
    assert (passing.tables, passing.rows, passing.whole) == (2, None, True)
    assert passing.statement(9) == "INSERT INTO `t`"


@pytest.mark.parametrize(
    ("number", "lacks"),
    [
        *((number, True) for number in ("53100", "53200", "57P01", "1114", "2013", "28")),
        *((number, False) for number in ("22P02", "42P07", "1064", "1062", "28000")),
    ],
)
def test_what_the_machine_lacks_is_no_fault_of_a_dump(number: str, lacks: bool) -> None:
    assert loading.lacks_something(number) is lacks
