"""A passphrase with every awkward character works everywhere and is found nowhere.

While everything is done with it — init, backups on both ways, lists, browsing, restores, checks, mail — the command
lines and environments of all processes are read again and again; afterwards the database, Redis, logs, files, pages,
answers and letters.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.e2e.crawl import Answer, crawl
from tests.support.estate import Estate, running_estate
from tests.support.product import eventually
from tests.support.smtp import MailSink
from tests.support.web import Web

pytestmark = pytest.mark.real
JSON_COMMANDS = (
    ("server", "list"),
    ("server", "show", "one"),
    ("job", "list"),
    ("job", "show", "good"),
    ("archives",),
    ("tasks", "--system"),
    ("pool", "list"),
    ("repository", "list"),
    ("repository", "show", "canary"),
    ("backup", "good", "--dry-run"),
    ("restore", "latest:good", "/", "--whole", "--to", "/tmp/never", "--dry-run"),
)


class Lookout:
    """Reads what every process shows to everybody, until it is told to stop."""

    def __init__(self, marker: bytes) -> None:
        self.marker = marker
        self.found: set[str] = set()
        self.rounds = 0
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[Lookout]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        own = str(os.getpid())
        while not self._stop.wait(0.02):
            self.rounds += 1
            for pid in filter(str.isdigit, os.listdir("/proc")):
                if pid != own:
                    self._look(pid)

    def _look(self, pid: str) -> None:
        for name in ("cmdline", "environ"):
            try:
                shown = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            if self.marker in shown:
                self.found.add(f"/proc/{pid}/{name}: {shown[:300]!r}")


@pytest.fixture
def mails() -> Iterator[MailSink]:
    sink = MailSink()
    yield sink
    sink.close()


def test_the_passphrase_works_everywhere_and_is_found_nowhere(mails: MailSink, tmp_path: Path) -> None:
    marker = f"canary-{secrets.token_hex(6)}"
    passphrase = f"ca$ry ' \" \\ {marker} `id` $(id) ünïcode "
    source = tmp_path / "source"
    source.mkdir()
    tmp_path.chmod(0o755)
    (source / "letter.txt").write_text("Dear Alice")
    lookout = Lookout(marker.encode())
    with running_estate() as estate:
        estate.add_server("one", estate.one, "root")
        estate.add_server("two", estate.two, estate.lab.account, direct=True)
        alice = Web(estate.product.url, "alice")
        with lookout.watching():
            _use(estate, alice, passphrase, marker, mails, source)
            pages = _pages(alice, marker)
            answers = _answers(estate, marker)
        held = _redis(estate, marker)
        files = _files(estate, marker)
        database = _database(estate, marker)
    assert lookout.rounds > 100
    assert sorted(lookout.found) == []
    assert pages == answers == held == files == database == []
    letters = [letter.as_bytes() + str(letter).encode() + _text(letter) for letter in mails.letters]
    assert len(letters) >= 2, "the test and the failure were to be told"
    assert not any(marker.encode() in letter for letter in letters)


def _text(letter: Any) -> bytes:
    return b"".join(part.get_payload(decode=True) or b"" for part in letter.walk() if not part.is_multipart())


def _use(estate: Estate, alice: Web, passphrase: str, marker: str, mails: MailSink, source: Path) -> None:
    """Everything that needs the passphrase, and everything that tells people of a failure."""
    _create(estate, alice, passphrase)
    _mail(estate, alice, marker, mails)
    estate.repository = "canary"
    estate.add_job("good", "one", source)
    estate.add_job("direct", "two", source)
    estate.add_job("bad", "one", source / "is-not-there")
    assert estate.run("good")["state"] == "success"
    assert estate.run("direct")["state"] == "success"
    assert estate.run("bad")["state"] in ("failed", "incomplete")
    eventually(lambda: len(mails.letters) >= 2, 60, "the failure is not told")
    manage = estate.product.manage
    manage("sync_archives", "canary", "--wait")
    archive = str(estate.product.manage_json("archives", "--job", "good")[0]["name"])
    assert "letter.txt" in manage("browse", archive, str(source).lstrip("/"), "--json")
    for server in ("one", "two"):
        target = source.parent / f"back-{server}"
        manage("restore", "latest:good", str(source), "--to", str(target), "--server", server, "--wait")
        [letter] = target.rglob("letter.txt")
        assert letter.read_text() == "Dear Alice"
    manage("browse", archive, "--close")
    for verb in ("check", "compact", "measure"):
        manage("repository", verb, "canary", "--wait")
    assert "BORG_KEY" in manage("repository", "export-key", "canary")
    # With the wrong one, borg says what it thinks of it: nothing of that may be kept either.
    manage("repository", "passphrase", "canary", stdin=f"wrong {marker}\n", check=False)


def _create(estate: Estate, alice: Web, passphrase: str) -> None:
    """A new repository, through its form."""
    pool = estate.product.python("from backups.models import StoragePool; print(StoragePool.objects.get().pk)").strip()
    data = {"name": "canary", "pool": pool, "encryption": "repokey-blake2", "source": "type", "compression": "lz4"}
    data |= {"passphrase": passphrase, "repeated": passphrase}
    status, address, body = alice.post("/storage/repositories/new/", data)
    assert status == 200, body.decode()
    assert not address.endswith("/new/"), body.decode()


def _mail(estate: Estate, alice: Web, marker: str, mails: MailSink) -> None:
    """First with a password that the mail server refuses, then without; both are tried."""
    data = {"enabled": "on", "host": "127.0.0.1", "port": str(mails.port), "security": "none"}
    data |= {"sender": "phpborg@example.org", "recipients": "alice@example.org"}
    for more in ({"user": "alice", "new_password": f"mail {marker}"}, {"user": "", "forget_password": "on"}):
        status, _address, body = alice.post("/settings/mail/", {**data, **more})
        assert status == 200, body.decode()
        _status, address, _body = alice.post(
            "/settings/mail/test/", {"address": "a@example.org"}, form="/settings/mail/"
        )
        task = address.strip("/").split("/")[-1]
        expected = "failed" if more["user"] else "success"
        assert estate.wait(task)["state"] == expected


def _pages(alice: Web, marker: str) -> list[str]:
    """Every page that links lead an administrator to."""

    def get(path: str) -> Answer:
        status, _address, body = alice.get(path)
        return Answer(status, body.decode("utf-8", "replace"))

    found, count = [], 0
    for address, _parent, answer in crawl(get, per_route=4):
        count += 1
        if marker in answer.body:
            found.append(address)
        assert answer.status < 500, f"{address}: {answer.status}"
    assert count > 60
    return found


def _answers(estate: Estate, marker: str) -> list[str]:
    """What the commands say, with --json and without."""
    found = []
    for words in JSON_COMMANDS:
        for more in (("--json",), ()):
            if marker in estate.product.manage(*words, *more, check=False):
                found.append(" ".join(words))
    return found


def _redis(estate: Estate, marker: str) -> list[str]:
    """Every key and every value, in every database."""
    readers: dict[bytes, Callable[[redis.Redis, bytes], Any]] = {
        b"string": lambda store, key: store.get(key),
        b"list": lambda store, key: store.lrange(key, 0, -1),
        b"set": lambda store, key: store.smembers(key),
        b"zset": lambda store, key: store.zrange(key, 0, -1, withscores=True),
        b"hash": lambda store, key: store.hgetall(key),
        b"stream": lambda store, key: store.xrange(key),
    }
    found, seen = [], 0
    for number in range(16):
        store = redis.Redis(unix_socket_path=str(estate.product.redis_socket), db=number)
        for key in store.scan_iter():
            seen += 1
            value = readers[store.type(key)](store, key)
            if marker in repr((key, value)) or marker.encode() in _unpacked(value):
                found.append(repr(key))
    assert seen > 3
    return found


def _unpacked(value: Any) -> bytes:
    """A job's data is pressed; look inside."""
    import zlib

    parts = value.values() if isinstance(value, dict) else [value]
    found = b""
    for part in parts:
        if isinstance(part, bytes):
            try:
                found += zlib.decompress(part)
            except zlib.error:
                found += part
    return found


def _files(estate: Estate, marker: str) -> list[str]:
    """Logs, var/, the repository itself, and what lies on the servers."""
    places = [
        estate.product.root,
        estate.lab.root,
        Path("/var/lib/phpborg"),
        Path("/run/phpborg"),
        Path("/etc/phpborg"),
    ]
    found, seen = [], 0
    for place in places:
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                seen += 1
                if marker.encode() in path.read_bytes():
                    found.append(str(path))
    assert seen > 20
    return found


def _database(estate: Estate, marker: str) -> list[str]:
    """Every column of every table as text; and the raw file with its journal, which `_files` has read."""
    import sqlite3

    found = []
    with sqlite3.connect(estate.product.var / "phpborg.sqlite3") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert "tasks_task" in tables
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                if marker in repr(row):
                    found.append(f"{table}: {row[:3]!r}")
    return found
