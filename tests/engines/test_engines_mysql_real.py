"""Real directories of MariaDB 10.11: what their files say, and the recipe's two steps by the installed programs."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from recovery.engines.base import Consistency, Found, Hints, Product, Step, Taken
from recovery.engines.mysql import Mysql
from recovery.engines.place import Place
from tests.support import mariadb
from tests.support.recipes import Kitchen

pytestmark = pytest.mark.real

ENGINE = Mysql()
# InnoDB refuses the strongest; ours is refused already by its lack of rights.
READ_ONLY = re.compile("(?i)read only")
LACKS = re.compile("denied|--read-only option")
NAME, PASSWORD = "phpborg_reader", "pass-word-of-the-test"


@pytest.fixture(scope="module")
def room():
    path = Path(tempfile.mkdtemp(prefix="phpborg-engines-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def look(data: Path, taken: Taken = Taken.UNKNOWN) -> Found:
    found = ENGINE.look(Place(data), Hints(taken=taken))
    assert found is not None
    return found


def twin(data: Path, copy: Path) -> Path:
    subprocess.run(["cp", "-a", str(data), str(copy)], check=True)
    return copy


@pytest.fixture(scope="module")
def version():
    said = subprocess.run(["mariadbd", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split("Ver ")[1].split("-")[0]


@pytest.fixture(scope="module")
def copies(room):
    """One server as an archive would have it: killed beneath a write, prepared by mariadb-backup, stopped."""
    data, made = room / "data", {}
    with mariadb.running(data, room / "s") as server:
        server.sql(
            "CREATE DATABASE Shop; CREATE TABLE Shop.words (id INT PRIMARY KEY, word TEXT CHARACTER SET utf8mb4);"
            "INSERT INTO Shop.words VALUES (1, 'été');"
            "CREATE TABLE Shop.flat (id INT) ENGINE=Aria; INSERT INTO Shop.flat VALUES (1);"
        )
        copy = room / "prepared"
        words = ["mariadb-backup", "--no-defaults", f"--socket={server.socket}", "--user=root", f"--target-dir={copy}"]
        subprocess.run([*words, "--backup"], check=True, capture_output=True)
        made["raw"] = twin(copy, room / "raw")
        subprocess.run(["mariadb-backup", "--prepare", f"--target-dir={copy}"], check=True, capture_output=True)
        made["prepared"] = copy
    made["stopped"] = data
    with mariadb.running(twin(data, room / "kill"), room / "k") as server:
        server.sql("INSERT INTO Shop.words VALUES (2, 'deux')")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    made["killed"] = room / "kill"
    for path in made.values():
        subprocess.run(["chown", "-R", f"{mariadb.ACCOUNT}:{mariadb.ACCOUNT}", str(path)], check=True)
    return made


@pytest.mark.parametrize("which", ["stopped", "killed", "prepared"])
def test_case_100_it_is_mariadb_of_exactly_this_version(copies, version, which):
    found = look(copies[which])
    assert (found.product, found.version) == (Product.MARIADB, version), found
    assert (found.facts.page_bytes, found.facts.lower_case_table_names) == (16384, 0)


def test_how_each_copy_can_be_trusted(copies):
    assert [look(copies[which]).clean for which in ("stopped", "killed", "prepared")] == [True, False, True]
    assert look(copies["stopped"], Taken.FROZEN).consistency == Consistency.CLEAN
    assert look(copies["stopped"], Taken.UNKNOWN).consistency == Consistency.DOUBTFUL
    assert look(copies["prepared"]).consistency == Consistency.PREPARED
    assert look(copies["raw"]).consistency == Consistency.BROKEN
    assert look(copies["killed"], Taken.FROZEN).consistency == Consistency.CRASH
    assert look(copies["stopped"], Taken.STOPPED).consistency == Consistency.CLEAN
    assert look(copies["killed"], Taken.LIVE).consistency == Consistency.DOUBTFUL


def ask(kitchen: Kitchen, sql: str, user: str = NAME) -> subprocess.CompletedProcess[str]:
    words = ["mariadb", "--no-defaults", f"--socket={kitchen.place}/run/mysql.sock", f"--user={user}", "-BN"]
    env = {"MYSQL_PWD": PASSWORD, "PATH": "/usr/bin", "LC_ALL": "C"}
    return subprocess.run(
        [*words, "--default-character-set=utf8mb4"], input=sql, capture_output=True, text=True, env=env, check=False
    )


@pytest.mark.parametrize("which", ["stopped", "killed", "prepared"])
def test_the_recipes_two_steps_serve_and_refuse_writes(room, copies, which):
    found = look(copies[which], Taken.FROZEN)
    recipe = ENGINE.start(found, read_only=True)
    login = ENGINE.login(found, name=NAME, password=PASSWORD, read_only=True)
    assert PASSWORD.encode() not in login
    # The strongest account there is, to show that it is the server that refuses.
    strong = ENGINE.login(found, name="strongest", password=PASSWORD, read_only=False).splitlines(keepends=True)
    login += b"".join(line for line in strong if line.startswith((b"CREATE", b"GRANT")))
    kitchen = Kitchen(room / f"kitchen-{which}", copies[which], mariadb.ACCOUNT, recipe, login)
    first, second = recipe.steps

    def answers(step: Step) -> bool:
        proofs = [*([step.ready] if step.ready else []), *step.settled]
        return all(ask(kitchen, one.query).stdout.strip() == one.answer for one in proofs)

    with kitchen.running(first, lambda: answers(first)):
        pass
    with kitchen.running(second, lambda: answers(second)):
        assert ask(kitchen, "SELECT word FROM Shop.words ORDER BY id").stdout.splitlines()[0] == "été"
        for sql in (
            "INSERT INTO Shop.words VALUES (9, 'x')",
            "CREATE TABLE Shop.more (id INT) ENGINE=InnoDB",
            "DROP TABLE Shop.words",
        ):
            refused = ask(kitchen, sql, user="strongest")
            assert refused.returncode
            assert READ_ONLY.search(refused.stderr), refused
        for sql in ("INSERT INTO Shop.flat VALUES (2)", "DROP DATABASE Shop", "SET GLOBAL read_only = 0"):
            refused = ask(kitchen, sql)
            assert refused.returncode
            assert LACKS.search(refused.stderr), refused
        assert "locked" in ask(kitchen, "SELECT 1", user="root").stderr
        assert ask(kitchen, "SELECT 1", user="root").returncode
