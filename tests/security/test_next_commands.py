"""An archive made by an attacker must not become the commands that an administrator runs as root after a restore."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from recovery.services.dumps import Record
from recovery.services.next_commands import Command, next_commands

ENGINES = ("postgresql", "mysql", "mongodb", "elasticsearch")
SETTINGS = "/etc/postgresql/15/main/postgresql.conf"


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    with translation.override("en"):
        yield


def record(engine: str = "postgresql", method: str = "snapshot", **facts: Any) -> Record:
    included = ({"kind": "data", "path": "data"}, {"kind": "tablespace", "path": "space"})
    return Record(engine, "15.4", method, "crash-consistent", "/data", included, facts)


def lines(record: Record, target: dict[str, str]) -> list[str]:
    return [command.line for command in next_commands(record, target) if command.argv]


@pytest.mark.parametrize("owner", ["root", "daemon", "-x", "0", "postgres:shadow", "a b", ["root"]])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_account_of_the_archives_choice_is_given_nothing_and_runs_nothing(engine: str, owner: Any) -> None:
    made = next_commands(record(engine, owner=owner), {"data": "/new"})
    accounts = {one.argv[2] for one in made if one.argv[:1] in (("chown",), ("runuser",))}
    assert accounts == {"ACCOUNT:", "ACCOUNT"}
    assert made[0].argv == ()
    assert "never root" in made[0].sentence


@pytest.mark.parametrize(
    ("engine", "owner"), [("mysql", "mariadb"), ("mongodb", "mongod"), ("elasticsearch", "opensearch")]
)
def test_accounts_that_packages_make_are_taken(engine: str, owner: str) -> None:
    assert f"chown -Rh {owner}: /new" in lines(record(engine, owner=owner), {"data": "/new"})


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example:9200",
        "http://127.0.0.1:9200@evil.example",
        "http://127.0.0.1.evil.example:9200",
        "http://127.0.0.1:9200/../{a,b}",
        "-o/etc/cron.d/x",
        "file:///etc/shadow",
        "http://127.0.0.1:9200\n-K/x",
    ],
)
def test_curl_asks_nobody_but_this_machine(url: str) -> None:
    for line in lines(record("elasticsearch", "api", url=url), {"data": "/new"}):
        words = shlex.split(line)
        assert "evil" not in line
        if words[0] == "curl":
            assert words[words.index("--url") + 1].startswith("http://127.0.0.1:9200/_snapshot/restored")


def test_a_node_of_this_machine_is_asked_where_it_is() -> None:
    made = lines(record("elasticsearch", "api", url="https://[::1]:9201/"), {"data": "/new"})
    assert any("--insecure --url 'https://[::1]:9201/_snapshot/restored/_all?pretty'" in line for line in made)


@pytest.mark.parametrize("path", ["--target-directory=/etc/postgresql.conf", "-x/conf.d", "pg_hba.conf"])
def test_a_settings_file_is_no_option(path: str) -> None:
    assert not any(path in line for line in lines(record(config_files=[path]), {"data": "/new"}))


def test_a_line_end_in_a_name_ends_no_command_of_sed(tmp_path: Path) -> None:
    """GNU sed runs what follows `e`."""
    before = f"/space|\ne touch {tmp_path}/ran\n#"
    asked = record(method="stream", tablespaces=[{"name": "s", "location": before}])
    asked = Record(**{**vars(asked), "consistency": "physical-consistent"})
    (edit,) = [
        one.argv[6]
        for one in next_commands(asked, {"data": "/new", before.lstrip("/"): "/now\ne false"})
        if one.argv[4:6] == ("sed", "-i")
    ]
    said = subprocess.run(["sed", edit], input="16384 /space|\n", capture_output=True, text=True, check=True)
    assert (said.stdout, list(tmp_path.iterdir())) == ("16384 /space|\n", [])


@pytest.mark.parametrize("name", ["a\x15touch x\n", "\x1b[201~\rtouch x\r", "\u202egpj.sh", "ü' \\ \u00a0", "\udce9'"])
def test_a_pasted_line_holds_nothing_but_what_is_seen(name: str) -> None:
    """A terminal takes control characters for keys: they would end the line and begin another."""
    line = Command(("printf", "%s", name), "").line
    assert line.isprintable()
    said = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert said.stdout == os.fsencode(name)


@pytest.mark.parametrize(
    ("version", "there", "missing"),
    [("9.6.24", "archive_command=", "restore_command="), ("15.4", "restore_command=", "event_triggers=off")],
)
def test_what_the_settings_would_run_or_load_is_not(version: str, there: str, missing: str) -> None:
    asked = Record(**{**vars(record()), "version": version})
    (start,) = [one.argv for one in next_commands(asked, {"data": "/new"}) if one.argv[-1:] == ("start",)]
    options = shlex.split(start[-2])
    preload = {f"{when}_preload_libraries=" for when in ("shared", "session", "local")}
    assert preload | {there, "ssl=off"} <= set(options)
    assert missing not in options


def test_mysql_starts_no_event_and_reads_no_settings_out_of_its_files() -> None:
    made = next_commands(record("mysql", flavour="mysql"), {"data": "/new"})
    start, show = made[-2].argv, made[-1].argv
    assert {"--event-scheduler=DISABLED", "--loose-persisted-globals-load=OFF"} <= set(start)
    assert "--local-infile=0" in show


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every account may pass through."""
    with tempfile.TemporaryDirectory(prefix="pb-next-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def carry_out(made: list[Command]) -> None:
    """As root, in the order of the page, from root's own directory; what the account refuses is refused."""
    for command in made:
        if command.argv:
            subprocess.run(command.argv, cwd="/root", capture_output=True, check=False)


@pytest.mark.real
def test_root_does_not_work_where_another_account_exchanges_names(place: Path) -> None:
    """Whoever owns the directory put links there, under each name that the commands touch."""
    account = pwd.getpwnam("postgres")
    victim, data, settings = place / "victim", place / "data", place / "postgresql.conf"
    victim.mkdir(mode=0o755)
    (victim / "postmaster.pid").write_text("whole")
    (victim / "a.conf").write_text("data_directory = 'whole'\n")
    settings.write_text("port = 1\n")
    settings.chmod(0o644)
    data.mkdir()
    for name in ("postgresql.conf", "pg_wal", "pg_tblspc"):
        (data / name).symlink_to(victim)
    before = {path.name: path.read_bytes() for path in victim.iterdir()}
    asked = record(owner="postgres", config_files=[str(settings)], wal_directory="/wal", in_recovery=True)
    made = next_commands(asked, {"data": str(data), "wal": str(place / "wal")})
    carry_out([one for one in made if one.argv[-1:] != ("start",)])
    assert {path.name: path.read_bytes() for path in victim.iterdir()} == before
    assert all(path.stat().st_uid == 0 for path in (victim, *victim.iterdir()))
    assert data.stat().st_uid == account.pw_uid


@pytest.mark.real
def test_a_directory_exchanged_for_a_link_leads_root_nowhere(place: Path) -> None:
    """It is exchanged before the first command: neither owner nor mode of what it leads to changes."""
    victim = place / "victim"
    victim.mkdir(mode=0o755)
    (victim / "mongod.lock").write_text("whole")
    (place / "data").symlink_to(victim)
    for engine in ENGINES:
        made = next_commands(record(engine), {"data": str(place / "data")})
        carry_out([one for one in made if "--datadir=" not in one.line and one.argv[-1:] != ("start",)])
    status = victim.stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (0, 0o755)
    assert (victim / "mongod.lock").read_text() == "whole"


@pytest.mark.real
def test_find_works_where_its_account_may_not_enter_the_shells_directory(place: Path) -> None:
    data, old = place / "data", place / "old"
    (data / "pg_tblspc").mkdir(parents=True)
    old.mkdir()
    (data / "pg_tblspc/16384").symlink_to(old)
    asked = record(tablespaces=[{"name": "s", "location": str(old)}])
    made = next_commands(asked, {"data": str(data), str(old).lstrip("/"): str(place / "new")})
    for command in made:
        if ("chown" in command.argv and command.argv[-1] == str(data)) or "find" in command.argv:
            subprocess.run(command.argv, cwd="/root", capture_output=True, check=True)
    assert os.readlink(data / "pg_tblspc/16384") == str(place / "new")
