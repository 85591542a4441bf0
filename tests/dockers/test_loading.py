"""What `load_dump` makes of what a server and its client say: nothing of that is to be believed, or told."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import drilling, loading, pouring
from servers.remote.dockers.engine import Engine
from servers.remote.dockers.sqldump import Passing


def why(kind: str, words: str) -> str:
    """The reason that is told when the client ended with 3 after these words."""
    step = loading.LoadDump.__new__(loading.LoadDump)
    step._way, step._name = loading._WAYS[kind], "db"
    told, passing = loading._Told(), Passing(kind)
    told.err(words.encode())
    passing.feed(b"CREATE TABLE t (n int);\n")
    message = step._why(3, told, passing).message
    assert message.startswith("db: its dump was refused: ")
    return message.partition("refused: ")[2]


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


class FakeClient:
    """A client whose answers are given; what it was asked is in `asked`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str | bytes) -> None:
        self.asked: list[bytes] = []
        self._answers = list(answers)
        monkeypatch.setattr(drilling, "_client", self)

    def __call__(
        self, engine: Any, said: Any, database: str, stdin: bytes, more: Any
    ) -> tuple[int, bytearray, bytearray]:
        self.asked.append(stdin)
        answer = self._answers.pop(0)
        return 0, bytearray(answer if isinstance(answer, bytes) else answer.encode()), bytearray()


def a_step(kind: str) -> loading.LoadDump:
    step = loading.LoadDump.__new__(loading.LoadDump)
    step._way, step._kind, step._name = loading._WAYS[kind], kind, "db"
    step._seconds = 60
    step._said = {"Id": "1", "State": {"Status": "running"}, "Created": "2026-11-27T00:00:00Z"}
    step.engine = SimpleNamespace(check=None)  # type: ignore[assignment]
    return step


NO_NUMBERS = ["\u00b2\n", "7" * 5000 + "\n", "", "-1\n", "\u0663\n"]


@pytest.mark.parametrize("answer", NO_NUMBERS)
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_an_answer_of_a_fake_client_that_is_no_number_is_none(
    monkeypatch: pytest.MonkeyPatch, kind: str, answer: str
) -> None:
    step = a_step(kind)
    FakeClient(monkeypatch, answer, answer, answer)
    assert step._age(step._said) is None
    with pytest.raises(wire.Refused, match="nobody can tell when"):
        step._check_new()
    passing = Passing("mysql")
    passing.feed(b"-- Dump completed\n")
    if kind == "mysql":
        with pytest.raises(wire.Refused, match="its tables could not be counted"):
            step._check_all(passing, loading._Told())
    told = loading._Told()
    told.out(b"COPY " + answer.encode() + b"\nCOPY 3\n")
    assert (told.tables, told.rows) == (1, 3)


def test_a_database_whose_name_is_no_text_is_taken_away_by_a_fake_client(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient(monkeypatch, b"\xff`\xfe\n", b"")
    a_step("mysql")._clear()
    assert client.asked[1] == b"DROP DATABASE `\xff``\xfe`;\n"


def test_a_process_that_calls_itself_something_odd_is_no_server() -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", "open('/proc/self/comm', 'wb').write(b'\\xff\\xfe'); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert not loading.is_final({"State": {"Pid": other.pid}})
    finally:
        other.communicate(b"\n")


class FakeEngine(Engine):
    """Programs in containers are not started: what was asked for is kept, and each ends well."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.check = None

    def post(self, path: str, body: Any = None, seconds: float = 1, **query: Any) -> Any:
        self.asked.append(body)
        return {"Id": "made"}

    def _open(self, *args: Any, **more: Any) -> Any:
        connection = SimpleNamespace(close=lambda: None, feed=lambda data: None)
        return connection, SimpleNamespace(read=lambda size: b"")

    def _exit_status(self, made: str) -> int:
        return 0


def ways_in(kind: str, *environment: str) -> list[tuple[list[str], list[str]]]:
    """(command, environment) of the question and of the load in a fake container."""
    step, engine = a_step(kind), FakeEngine()
    image = {"postgresql": "postgres:16", "mysql": "mysql:8"}[kind]
    step._said.update(Config={"Image": image, "Env": list(environment)}, Name="/db")
    step.engine = engine
    assert step._ask("SELECT 1") == []
    command, env = step._command()
    pouring.pour(engine, "1", command, [], lambda data: None, lambda data: None, env)
    return [(row["Cmd"], row["Env"]) for row in (engine.asked[0], engine.asked[-1])]


def test_the_server_of_a_fake_container_is_meant_and_none_that_its_environment_names() -> None:
    given = ("PGHOST=db", "PGHOSTADDR=10.0.0.1", "PGSERVICE=prod", "POSTGRES_PASSWORD=p=1")
    for _, env in ways_in("postgresql", *given):
        # A name without a value is taken away from what the container has; an engine takes none that it has not.
        assert env == ["PGAPPNAME=phpborg", "PGHOST", "PGHOSTADDR", "PGOPTIONS=", "PGPASSWORD=p=1", "PGSERVICE"]
    for _, env in ways_in("postgresql", "PGHOST=/tmp/sockets"):
        assert not [row for row in env if row.startswith("PGHOST=") or row == "PGHOST"]
    for command, _ in ways_in("mysql", "MYSQL_HOST=db", "MYSQL_ROOT_PASSWORD=p"):
        assert command[1:3] == ["--protocol=socket", "--host=localhost"]


class FakeTrickle(FakeEngine):
    """A program that says a byte now and then, and never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = 0

    def _open(self, *args: Any, **more: Any) -> Any:
        checked, connection = self.check, SimpleNamespace(close=lambda: None, feed=lambda data: None)
        since = time.monotonic()

        def read(size: int) -> bytes:
            time.sleep(0.01)
            assert time.monotonic() - since < 5, "it is waited for without an end"
            if checked is not None:
                checked()
            return b"\1\0\0\0\0\0\0\1"[:size] if size > 1 else b"x"

        return connection, SimpleNamespace(read=read)

    def _end_program(self, container: str, made: str) -> None:
        self.ended += 1


def test_a_fake_client_that_trickles_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_QUESTION_SECONDS", 0.2)
    step, engine = a_step("postgresql"), FakeTrickle()
    step._said.update(Config={"Image": "postgres:16", "Env": []}, Name="/db")
    step.engine, step._seconds = engine, 1
    assert step._ask("SELECT 1", seconds=0.2) is None
    assert (engine.ended, engine.check) == (1, None)
    with pytest.raises(wire.Refused, match="no whole answer within"):
        step._program(("mariadb",))


def test_a_fake_client_that_is_silent_after_its_dump_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pouring, "_LAST_SILENCE", 0.2, raising=False)
    engine, over = FakeTrickle(), threading.Event()
    response = SimpleNamespace(read=lambda size: b"x" * over.wait(5) * 0)
    connection = SimpleNamespace(close=lambda: None, feed=lambda data: None)
    monkeypatch.setattr(engine, "_open", lambda *args, **more: (connection, response))
    with pytest.raises(wire.Refused, match="said nothing for"):
        pouring.pour(engine, "1", ["psql"], [], lambda data: None, lambda data: None, {})
    over.set()
    assert engine.ended == 1
