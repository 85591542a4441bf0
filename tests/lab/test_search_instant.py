"""A node of OpenSearch out of an archive: found, started without a network, asked through the session's port."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from recovery.engines.base import Product
from recovery.services import serving
from servers.remote.instant import cage, inside, web
from servers.remote.wire import Control
from tests.instant.conftest import PASSPHRASE, host, lab, start
from tests.instant.test_product_real import look
from tests.lab import opensearch
from tests.lab.opensearch import running_node

__all__ = ["host", "lab", "start"]
pytestmark = pytest.mark.lab
SECONDS = 300
DOCUMENTS = 500
QUERY = {"query": {"match_all": {}}}
# What an administrator of the node would try. Sent past the filter too, to the server itself.
WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/items/_doc", {"n": 1}),
    ("PUT", "/items/_doc/1", {"n": 1}),
    ("POST", "/items/_update/1", {"doc": {"n": 2}}),
    ("DELETE", "/items/_doc/1", None),
    ("DELETE", "/items", None),
    ("PUT", "/fresh", {}),
    ("POST", "/_bulk", b'{"index":{"_index":"items"}}\n{"n":1}\n'),
    ("POST", "/items/_close", None),
    ("PUT", "/items/_settings", {"index": {"number_of_replicas": 0}}),
    ("PUT", "/items/_mapping", {"properties": {"m": {"type": "keyword"}}}),
    ("POST", "/_aliases", {"actions": [{"add": {"index": "items", "alias": "other"}}]}),
    ("PUT", "/_cluster/settings", {"persistent": {"action.auto_create_index": "true"}}),
]
# The laboratory's node lacks the module for these: they are tried at the port alone.
BY_QUERY = [("POST", "/items/_update_by_query", QUERY), ("POST", "/items/_delete_by_query", QUERY)]
# This one takes the server's block away, so only the filter can refuse it.
LIFTING = ("PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.read_only": None}})


@pytest.fixture(scope="module")
def archived() -> Iterator[Path]:
    """A repository with the archive "node": a node's directory as a snapshot would hold it, after a kill."""
    place = Path(tempfile.mkdtemp(prefix="phpborg-search-"))
    place.chmod(0o755)
    data = place / "data"
    with running_node("one", (data,)) as node:
        node.ask("PUT", "/items", {"settings": {"number_of_replicas": 0}})
        rows = "".join(f'{{"index":{{"_id":"{n}"}}}}\n{{"n":{n}}}\n' for n in range(DOCUMENTS))
        node.ask("POST", "/items/_bulk?refresh=true", rows.encode())
    path = place / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    subprocess.run(["borg", "create", f"{path}::node", "data"], check=True, env=env, cwd=place, capture_output=True)
    yield path
    shutil.rmtree(place)


def send(port: int, login: serving.Login | None, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """The status and the JSON answer that a person's client gets."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
    request = Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": kind}, method=method)
    if login is not None:
        pair = base64.b64encode(f"{login.name}:{login.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=60) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)


def test_a_node_answers_and_whatever_writes_is_refused_by_the_port_and_by_the_server(
    engine, archived, tmp_path_factory, start
):
    found = look(archived, "node", tmp_path_factory.mktemp("look"))
    assert found.product == Product.OPENSEARCH
    asked, login = serving.request(found, opensearch.image(engine), read_only=True)
    session = start(repository=archived, archive="node", asked=asked)
    port = session.until("ready", SECONDS)["port"]
    assert send(port, login, "GET", "/items/_count")[1]["count"] == DOCUMENTS
    assert send(port, login, "POST", "/items/_search", QUERY)[1]["hits"]["total"]["value"] == DOCUMENTS
    assert send(port, None, "GET", "/items/_count")[0] == 401
    wrong = serving.Login(login.name, "x" * 24, b"")
    assert send(port, wrong, "GET", "/items/_count")[0] == 401
    for method, path, body in [*WRITES, *BY_QUERY, LIFTING]:
        assert send(port, login, method, path, body)[0] == 403, (method, path)
    stage = len(asked.args["stages"]) - 1
    docker = cage.opened(str(engine.socket))
    namespace = inside.Namespace(docker, cage.container(session.token, stage), Control(0))
    try:
        for method, path, body in WRITES:
            data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
            good, said = web.ask(namespace.connect(9200), web.Query(method, path, data, None), 60)
            assert not good or '"errors":true' in said, (method, path, said)
            assert "cluster read-only" in said, (method, path, said)
    finally:
        namespace.close()
    assert send(port, login, "GET", "/items/_count")[1]["count"] == DOCUMENTS
    assert session.rows[-1]["upper_bytes"] < 20 << 20
    session.finish()
    assert session.error is None


def test_a_sandbox_is_written_and_thrown_away(engine, archived, tmp_path_factory, start):
    found = look(archived, "node", tmp_path_factory.mktemp("look"))
    asked, login = serving.request(found, opensearch.image(engine), read_only=False)
    session = start(repository=archived, archive="node", asked=asked)
    port = session.until("ready", SECONDS)["port"]
    assert send(port, login, "DELETE", "/items")[0] == 200
    assert send(port, login, "PUT", "/fresh/_doc/1?refresh=true", {"n": 1})[0] in (201, 404)
    assert send(port, None, "GET", "/_search")[0] == 401
    session.finish()
    assert session.error is None
