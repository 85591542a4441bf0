"""The probes that speak a server's own protocol: MongoDB, Elasticsearch, Redis. Fakes on loopback say what they are."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.remote.probes import bson, databases, elasticsearch, mongodb, redis, settings_file
from tests.servers.fake_look import FakeLook, process

# MongoDB


NAMES = st.text().filter(lambda name: "\0" not in name)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, DOCUMENTS, max_size=5))
def test_bson_comes_back(document):
    assert bson.decode(bson.encode(document)) == document


@given(st.binary(max_size=200))
def test_bytes_of_a_stranger_are_damaged_or_a_document(data):
    with pytest.raises(bson.Damaged) if not _is_bson(data) else _nothing():
        bson.decode(data)


def _is_bson(data: bytes) -> bool:
    return len(data) >= 5 and struct.unpack("<i", data[:4])[0] == len(data) == 5 and data[4:] == b"\0"


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05\0\0\0",
        b"\x05\0\0\0\x01",
        b"\xff\xff\xff\x7f\0",
        b"\xff\xff\xff\xff\0",
        b"\x0c\0\0\0\x02a\0\xff\xff\xff\x7f\0",
        b"\x0c\0\0\0\x02a\0\xff\xff\xff\xff\0",
        b"\x08\0\0\0\x55a\0\0",
        b"\x06\0\0\0\0\0",
    ],
)
def test_lengths_that_lie(data):
    with pytest.raises(bson.Damaged):
        bson.decode(data)


def test_documents_without_end_in_depth():
    data = b"\0"
    for _ in range(3000):
        data = b"\x03a\0" + struct.pack("<i", len(data) + 4) + data + b"\0"
    with pytest.raises(bson.Damaged):
        bson.decode(struct.pack("<i", len(data) + 4) + data)


@contextmanager
def fake_mongod(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[int]:
    """A fake: speaks MongoDB's protocol on loopback and answers as told."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, connection.makefile("rb") as file:
                    while len(header := file.read(16)) == 16:
                        asked = mongodb.body(file.read(struct.unpack("<i", header[:4])[0] - 16))
                        connection.sendall(mongodb.message(1, answer(asked)))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _open(asked: dict[str, Any]) -> dict[str, Any]:
    """Made up after MongoDB 6.0's answers."""
    assert asked["$db"] == "admin"
    found: dict[str, dict[str, Any]] = {
        "hello": {"setName": "rs0", "maxWireVersion": 17},
        "buildInfo": {"version": "6.0.14"},
        "listDatabases": {
            "databases": [{"name": "weird-db name", "sizeOnDisk": 8192.0}, {"name": "-x", "sizeOnDisk": 1}]
        },
        "serverStatus": {"storageEngine": {"name": "wiredTiger"}},
        "getCmdLineOpts": {"parsed": {"storage": {"dbPath": "/tmp"}}},
    }
    return {**found[next(iter(asked))], "ok": 1.0}


def _closed(asked: dict[str, Any]) -> dict[str, Any]:
    if next(iter(asked)) in ("hello", "buildInfo"):
        return _open(asked)
    return {"ok": 0.0, "code": 13, "errmsg": f"command {next(iter(asked))} requires authentication"}


def test_a_fake_mongod_without_accounts_tells_everything():
    with fake_mongod(_open) as port:
        told = mongodb._ask([databases.Door(None, "127.0.0.1", port)], 3)
    assert told.login == {"works": True, "method": "none", "user": None, "file": None, "problem": None}
    assert (told.build["version"], told.hello["setName"]) == ("6.0.14", "rs0")
    assert mongodb._databases(told.databases) == [
        {"name": "weird-db name", "size_bytes": 8192}, {"name": "-x", "size_bytes": 1},
    ]  # fmt: skip


def test_a_fake_mongod_with_accounts_tells_its_version_and_wants_a_login():
    with fake_mongod(_closed) as port:
        told = mongodb._ask([databases.Door(None, "127.0.0.1", port)], 3)
    assert not told.login["works"]
    assert "wants a login" in told.login["problem"]
    assert told.build["version"] == "6.0.14"


def test_what_is_no_mongod_or_is_mute_costs_one_time_out():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        door = databases.Door(None, "127.0.0.1", mute.getsockname()[1])
        assert "does not answer" in mongodb._ask([door, door], 0.2).login["problem"]
    assert mongodb._ask([door], 0.2).login["problem"] == "Connection refused"


def test_sizes_that_are_none():
    odd = [float("inf"), float("nan"), -1, "7", None]
    found = mongodb._databases({"databases": [{"name": "a", "sizeOnDisk": size} for size in odd] + ["nonsense"]})
    assert [row["size_bytes"] for row in found[:5]] == [None] * 5
    assert mongodb._databases({"databases": "nonsense"}) == []


def test_both_kinds_of_mongod_conf():
    storage = "# mongod.conf\nstorage:\n  dbPath: /var/lib/mongo db   # here\n  journal:\n    enabled: true\n"
    found = mongodb.settings(storage + "net:\n  port: 27018\n  bindIp: 127.0.0.1\n")
    assert (found["storage.dbPath"], found["net.port"]) == ("/var/lib/mongo db", "27018")
    assert "storage.journal" not in found
    old = mongodb.settings("# mongodb.conf\ndbpath=/var/lib/mongodb\n#port = 27017\nport = 27019\njournal=true\n")
    assert (old["dbpath"], old["port"]) == ("/var/lib/mongodb", "27019")


# Elasticsearch


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("path.data: /var/lib/elasticsearch\n", ["/var/lib/elasticsearch"]),
        ('path.data: ["/mnt/a b", "/mnt/c,d"]\n', ["/mnt/a b", "/mnt/c,d"]),
        ("path.data: [/mnt/a, /mnt/b]  # two\n", ["/mnt/a", "/mnt/b"]),
        ("path:\n  logs: /l\n  data:\n    - /mnt/a\n    - '/mnt/it''s'\nnode.name: x\n", ["/mnt/a", "/mnt/it's"]),
        ('path:\n  data:\n  - /mnt/a\n  - "/mnt/#b"\n  logs: /l\n', ["/mnt/a", "/mnt/#b"]),
        ("path.data: /a,/b\n", ["/a", "/b"]),
        ("#path.data: /a\npath.data: *anchor\n", []),
    ],
)
def test_path_data_in_every_way_to_write_it(text, paths):
    assert settings_file.texts_of(settings_file.yaml(text), "path.data") == paths


@given(st.text(max_size=200))
def test_any_text_is_read_as_far_as_it_is_plain(text):
    settings_file.yaml(text)
    settings_file.ini(text)


def test_http_is_looked_for_where_it_likeliest_is():
    assert elasticsearch.ordered([9300, 9201, 9200, 80]) == [9200, 9201, 80, 9300]
    assert elasticsearch.ordered([9300, 9200, 8888], "8888") == [8888, 9200, 9300]


def test_directories_of_a_node_from_its_command_line():
    argv = ["java", "-Xms1g", "-Des.path.home=/usr/share/elasticsearch", "-Des.path.conf=/etc/es one", "-cp", "x",
            "org.elasticsearch.bootstrap.Elasticsearch"]  # fmt: skip
    assert elasticsearch.directories(process(*argv), "elasticsearch") == ("/usr/share/elasticsearch", "/etc/es one")
    argv = [
        "java",
        "-Dopensearch.path.home=/o",
        "-Dopensearch.path.conf=/o/config",
        "org.opensearch.bootstrap.OpenSearch",
    ]
    assert elasticsearch.directories(process(*argv), "opensearch") == ("/o", "/o/config")


def test_a_node_in_a_container_and_the_launcher_of_version_8():
    main = "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch"
    look = FakeLook(
        process("java", "-m", main, contained=True), process("java", "org.elasticsearch.launcher.CliToolLauncher")
    )
    (node,) = elasticsearch.probe(look)["nodes"]
    assert (node["contained"], node["data"], node["url"]) == (True, [], None)


@contextmanager
def fake_node(wants: str | None) -> Iterator[int]:
    """A fake, made up after Elasticsearch 7.17's answers."""
    found = {
        "/": {"name": "n", "cluster_name": "shop", "version": {"number": "7.17.9"}, "tagline": "You Know, for Search"},
        "/_nodes/_local/settings": {
            "nodes": {"x": {"settings": {"path": {"data": ["/mnt/a b", "/mnt/c"], "repo": "/mnt/repo"}}}}
        },
        "/_cat/indices": [{"index": "a", "store.size": "100"}, {"index": "b", "store.size": "23"}],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            closed = wants is not None and self.headers.get("Authorization") != wants
            body = json.dumps({} if closed else found[self.path.partition("?")[0]]).encode()
            self.send_response(401 if closed else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=partial(server.serve_forever, 0.01), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_fake_node_that_is_open():
    with fake_node(None) as port:
        told = elasticsearch.converse(elasticsearch.Node("127.0.0.1", port, False, 3), {"user": "u", "password": "p"})
    assert (told["version"], told["cluster_name"], told["secured"]) == ("7.17.9", "shop", False)
    assert told["login"]["method"] == "none"
    assert told["paths"] == {"data": ["/mnt/a b", "/mnt/c"], "repo": "/mnt/repo"}
    assert (told["indices"], told["size_bytes"], told["url"]) == (2, 123, f"http://127.0.0.1:{port}")


def test_a_fake_node_that_wants_a_login():
    with fake_node("Basic dTpww6k6Ig==") as port:
        node = elasticsearch.Node("127.0.0.1", port, False, 3)
        assert "wants a login" in elasticsearch.converse(node, None)["login"]["problem"]
        assert "refuses" in elasticsearch.converse(node, {"user": "u", "password": "x"})["login"]["problem"]
        told = elasticsearch.converse(node, {"user": "u", "password": 'pé:"'})
    assert (told["secured"], told["login"]["method"], told["login"]["user"]) == (True, "given", "u")


def test_each_data_directory_is_told_apart():
    settings = settings_file.yaml("path.data: [/mnt/a, /mnt/b]\n")
    found = elasticsearch._data({}, settings, process("java"), "elasticsearch", "/usr/share/elasticsearch")
    assert [(place["path"], place["method"]) for place in found] == [("/mnt/a", "config"), ("/mnt/b", "config")]


def test_the_certificate_counts_everywhere_but_on_loopback():
    for address, mode in (("127.0.0.1", 0), ("::1", 0), ("192.0.2.1", 2)):
        connection: Any = elasticsearch.Node(address, 9200, True, 1)._connection()
        assert int(connection._context.verify_mode) == mode


# Redis


def test_replies():
    text = b"$12\r\na:1\r\nb:2:3\r\n\r\n*2\r\n$3\r\ndir\r\n$5\r\n/a\r\nb\r\n-NOAUTH no\r\n:7\r\n$-1\r\n+OK\r\n"
    file = io.BytesIO(text)
    assert redis.information(str(redis.read_reply(file))) == {"a": "1", "b": "2:3"}
    assert redis.read_reply(file) == ["dir", "/a\r\nb"]
    assert isinstance(redis.read_reply(file), redis.Problem)
    assert [redis.read_reply(file) for _ in range(3)] == [7, None, "OK"]


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 400\r\n", b"$9999999999\r\n", b"*99999999\r\n", b"$x\r\n", b"$5\r\nab", b"*1\r\n" * 50, b"+OK"],
)
def test_replies_of_a_stranger(data):
    with pytest.raises(OSError, match=r"protocol|too long|ended"):
        redis.read_reply(io.BytesIO(data))


def test_redis_in_a_container_is_told_and_a_sentinel_is_not():
    look = FakeLook(process("redis-server *:6379", contained=True), process("redis-server *:26379 [sentinel]"))
    (found,) = redis.probe(look)["instances"]
    assert (found["contained"], found["data"], found["owner"]) == (True, None, None)
    assert found["persistence"] == {"rdb": None, "aof": None}
