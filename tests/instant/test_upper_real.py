"""What reading costs: nothing is copied up, however much is read."""

from __future__ import annotations

import time

import pytest

from recovery.services import serving
from tests.instant.conftest import ROWS
from tests.instant.test_product_real import look, psql
from tests.support import own_image

pytestmark = pytest.mark.real


def test_a_scan_of_a_table_that_was_never_vacuumed_writes_nothing(engine, cluster, tmp_path_factory, start):
    """Its rows have no hint bits yet: a server that may set them writes every page of it."""
    found = look(cluster, "one", tmp_path_factory.mktemp("look"))
    asked, login = serving.request(found, own_image.postgresql(engine), read_only=True)
    session = start(repository=cluster, asked=asked)
    port = session.until("ready")["port"]
    before = session.rows[-1]
    assert psql(port, login, "SELECT count(*) FROM kettle").stdout.strip() == str(ROWS)
    deadline = time.monotonic() + 20
    while session.rows[-1]["served"] == before["served"] and time.monotonic() < deadline:
        time.sleep(0.1)
    after = session.rows[-1]
    assert after["upper_bytes"] < 10 << 20  # one part in a hundred of a gigabyte, however large the cluster is
    table = ROWS * 60  # bytes at the least: its text alone
    assert after["read_bytes"] - before["read_bytes"] > 0
    assert after["upper_bytes"] - before["upper_bytes"] < table * 0.05
