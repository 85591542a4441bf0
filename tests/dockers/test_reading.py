"""What is told of a container, from what an engine says of it."""

from __future__ import annotations

from typing import Any

import pytest

from servers.remote.dockers import reading


@pytest.mark.parametrize(
    ("environment", "ours"),
    [(["A=1", "PHPBORG_VAR=/srv/phpborg/var"], True), (["A=PHPBORG_VAR"], False), (None, False)],
)
def test_it_is_told_that_phpborg_runs_in_a_container_and_no_value_of_its_environment(
    environment: list[str] | None, ours: bool
) -> None:
    said: dict[str, Any] = {
        "Id": "ab" * 32,
        "Name": "/shop",
        "Image": "sha256:" + "1" * 64,
        "State": {"Status": "running"},
        "Config": {"Image": "shop:1", "Env": environment, "Labels": {}},
        "HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    }
    seen = reading.Seen("20.10.1", "1.41", {"Name": "host"}, [said], [], [], [], {})
    (row,) = reading.inventory_of(seen, lambda path: False)["containers"]
    assert row["ours"] is ours
    assert "/srv/phpborg/var" not in str(row)
