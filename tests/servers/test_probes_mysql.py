"""MySQL and MariaDB: which of the servers found are one and the same."""

from __future__ import annotations

from servers.remote.probes import mysql


def test_a_server_that_hides_where_its_data_are_is_not_told_again_as_one_that_is_down(tmp_path):
    """Its process may not be looked into, so it is asked: the stopped one of the configuration was the same."""
    (tmp_path / "link").symlink_to(tmp_path)
    running = {"running": True, "data": {"path": f"{tmp_path}/"}}
    same = {"running": False, "data": {"path": str(tmp_path / "link")}}
    another = {"running": False, "data": {"path": str(tmp_path / "other")}}
    unknown = {"running": True, "data": None}
    assert mysql._once([running, same, another, unknown]) == [running, another, unknown]
    assert mysql._once([unknown, same]) == [unknown, same]
