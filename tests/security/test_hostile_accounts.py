"""A dump of accounts of MySQL may be an attacker's, and an error must not tell the hash of a password."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote.loaders.base import Failed
from servers.remote.loaders.mysql import Server, without_statements
from servers.remote.loaders.mysql_users import mysql_users, wishes
from tests.support import mariadb

pytestmark = pytest.mark.real
END = b"\n-- phpBorg: end of the users and their rights\n"
TRICKS = [
    b"CREATE USER IF NOT EXISTS `new`@`%` /* ' */; GRANT ALL ON *.* TO mallory@localhost; -- ';",
    b"CREATE USER IF NOT EXISTS `new`@`%` # '\n; GRANT ALL ON *.* TO mallory@localhost; -- ';",
    b"CREATE USER IF NOT EXISTS `new`@`%`, `mallory2`@`%`;",
    b"CREATE USER IF NOT EXISTS `new`@`%`; GRANT ALL ON *.* TO mallory@localhost, `new`@`%`;",
    b"CREATE USER IF NOT EXISTS `new`@`%`; GRANT ALL ON *.* TO `new`@`%`, mallory@localhost;",
    b"CREATE USER IF NOT EXISTS `new`@`%`; GRANT ALL ON *.* TO\nmallory@localhost;",
    b"SET SESSION sql_mode='', GLOBAL general_log=1;",
    b"SET SESSION sql_mode='NO_BACKSLASH_ESCAPES';",
    b"FLUSH PRIVILEGES, STATUS;",
    b"CREATE USER IF NOT EXISTS `new`@`%` \\! touch {mark}\n;",
    b"delimiter x\n",
    b"/*!50000 GRANT ALL ON *.* TO mallory@localhost */;",
    b"GRANT ALL ON *.* TO `new`@`%` -- '\n, mallory@localhost; -- ';",
]


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.Server]:
    with tempfile.TemporaryDirectory(prefix="pb-acc-") as name:
        place = Path(name)
        place.chmod(0o755)
        with mariadb.running(place / "data", place) as made:
            made.sql("CREATE USER mallory@localhost")
            yield made


@pytest.mark.parametrize("trick", TRICKS)
def test_a_dump_of_accounts_reaches_no_account_that_is_there(server, trick):
    asked = "SHOW GRANTS FOR mallory@localhost; SELECT COUNT(*) FROM mysql.user; SELECT @@GLOBAL.general_log"
    before = server.sql(asked)
    with tempfile.TemporaryDirectory(prefix="pb-mark-") as name:
        loader = mysql_users(server.where, {}, "t" * 16)
        mark = f"{name}/mark"
        loader.census.add(b"SET SESSION sql_mode='';\n" + trick.replace(b"{mark}", mark.encode()) + END)
        with pytest.raises(Failed) as failed:
            loader.carry_out()
        assert "about" in str(failed.value)
        assert not Path(mark).exists()
    assert server.sql(asked) == before


def test_what_servers_write_is_understood():
    text = rb"""SET SESSION sql_mode='';
SET SESSION print_identified_with_as_hex=ON;
CREATE ROLE IF NOT EXISTS `r`;
CREATE USER IF NOT EXISTS `o; TO ``d`@`%` IDENTIFIED WITH 'x' AS 0xAB DEFAULT ROLE `r`@`%`,`s`@`%` REQUIRE NONE;
CREATE USER IF NOT EXISTS `a`@`%` IDENTIFIED VIA unix_socket OR x USING 'it\'s; --' PASSWORD EXPIRE;
GRANT SELECT (`a`, `b`), INSERT ON `x-y`.`t` TO `a`@`%` WITH GRANT OPTION;
GRANT PROXY ON ``@`%` TO `a`@`%`;
SET DEFAULT ROLE `r` FOR `a`@`%`;
FLUSH PRIVILEGES;
"""
    found = [wish.account for wish in wishes(text)]
    a = (b"a", b"%")
    assert found == [None, None, (b"r", b""), (b"o; TO `d", b"%"), a, a, a, a, None]


def test_the_client_runs_no_program_of_a_dump(server):
    with tempfile.TemporaryDirectory(prefix="pb-mark-") as name:
        for command in ("\\! touch {}", "system touch {}", "\\T {}", "tee {}", "source {}"):
            mark = Path(name) / "mark"
            with pytest.raises(Failed, match=r"1064|Unknown command"):
                Server(server.where, {}).ask(command.format(mark) + "\nSELECT 1;\n")
            assert not mark.exists(), command


def test_an_error_quotes_no_statement(server):
    with pytest.raises(Failed) as failed:
        Server(server.where, {}).ask(
            "CREATE USER x IDENTIFED BY PASSWORD '*94BDCEBE19083CE2A1F959FD02F964C7AF4CFC29'\n;"
        )
    assert "1064" in str(failed.value)
    assert "94BDCEBE" not in str(failed.value)
    cut = "94BDC'\n--------------\n\nERROR 1396 (HY000): no"
    assert without_statements(cut) == "ERROR 1396 (HY000): no"
    two = "ERROR 1064 (42000) at line 1: x near 'a'b\nc' at line 3\nERROR 1045 (28000): no"
    assert without_statements(two) == "ERROR 1064 (42000) at line 1: x near (not shown)\nERROR 1045 (28000): no"
