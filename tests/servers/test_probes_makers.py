"""Whose is a door of a database server: the account that made it listen, as the kernel tells."""

import os
import socket

from servers.remote.probes import databases


def test_a_door_is_of_the_account_that_the_kernel_would_connect_to(monkeypatch):
    everywhere = [("0.0.0.0", 0), ("::", 4711)]  # the second takes IPv6 alone
    monkeypatch.setattr(databases, "_tcp_makers", lambda port: everywhere)
    assert databases.maker(databases.Door(None, "127.0.0.1", 3306)) == 0
    assert databases.maker(databases.Door(None, "::1", 3306)) == 4711
    monkeypatch.setattr(databases, "_tcp_makers", lambda port: everywhere[1:])
    assert databases.maker(databases.Door(None, "127.0.0.1", 3306)) == 4711, "Java's way"


def test_a_door_that_nobody_opened_is_shown_no_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert databases.safe("mysql", 0, [])
    assert not databases.safe("mysql", 0, [databases.Door("nothing")])
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert databases.maker(databases.Door(None, *server.getsockname())) == os.geteuid()
