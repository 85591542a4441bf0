"""What `load_dump` makes of what a server and its client say: nothing of that is to be believed, or told."""

from __future__ import annotations

import time

import pytest

from servers.remote.dockers import loading
from servers.remote.dockers.sqldump import Passing


def why(kind: str, words: str) -> str:
    """The reason that is told when the client ended with 3 after these words."""
    step = loading.LoadDump.__new__(loading.LoadDump)
    step._way = loading._WAYS[kind]
    told, passing = loading._Told(), Passing(kind)
    told.err(words.encode())
    passing.feed(b"CREATE TABLE t (n int);\n")
    return step._why(3, told, passing)


@pytest.mark.parametrize(
    "words",
    [
        'ERROR:  22P02: invalid input syntax for type integer: "my canary\nof two canary lines"',
        "ERROR:  P0001: what a trigger says of its canary",
        "FEHLER:  22P02: ungültige Eingabesyntax für Typ integer: »canary«",
        "ERREUR :  22P02: syntaxe en entrée invalide pour le type integer : « canary »",
        "CHYBA:  22P02: neplatná vstupní syntaxe: \u201ecanary\u201c",
    ],
)
def test_a_refusal_of_postgresql_tells_its_number_and_no_row(words: str) -> None:
    notice = "psql:<stdin>:1: NOTICE:  00000: canary is not there\n"
    shown = why("postgresql", f"{notice}psql:<stdin>:1: {words}\nDETAIL:  canary\n")
    assert "canary" not in shown
    assert shown.startswith("line 1 (CREATE TABLE t): error ")
    assert ("22P02, a value has not the form of its type" in shown) == ("22P02" in words)


def test_a_refusal_of_mysql_tells_its_number_and_no_row() -> None:
    words = "ERROR 1062 (23000) at line 1: Duplicate entry 'canary of the first line\nand canary' for key 'x'\n"
    expected = "line 1 (CREATE TABLE t): error 1062 (23000), a value stands twice that may stand once"
    assert why("mysql", words) == expected
    assert why("mysql", "ERROR 9999 at line 1 in file: 'canary': canary").endswith("error 9999")
    assert why("mysql", "ERROR: canary") == "its client ended with 3"


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_no_words_of_a_server_take_long_to_be_looked_through(kind: str) -> None:
    before = time.process_time()
    for words in ('"\u201c' * 21000, "psql:" * 12000, "ERROR 1 at line " * 4000, "psql:a:1: " * 6000):
        assert why(kind, words) == "its client ended with 3"
    assert time.process_time() - before < 2
