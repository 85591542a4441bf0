"""A registry of container images on 127.0.0.1 that has one image: what an engine asks of it, and no more.

The protocol is that of the distribution specification (API version 2); an engine talks to the loopback without TLS.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.lab.engine import Engine

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _exported(engine: Engine, image: str) -> tuple[bytes, dict[str, bytes]]:
    """The manifest of an image, and its blobs by their digests."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        engine.docker("save", "--output", file.name, image)
        with tarfile.open(file.name) as saved:

            def content(name: str) -> bytes:
                member = saved.extractfile(name)
                assert member is not None
                return member.read()

            (row,) = json.loads(content("manifest.json"))
            config = content(row["Config"])
            layers = [gzip.compress(content(name), 1) for name in row["Layers"]]
    blobs = {_digest(blob): blob for blob in (config, *layers)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "size": len(config), "digest": _digest(config)},
        "layers": [{"mediaType": _LAYER, "size": len(blob), "digest": _digest(blob)} for blob in layers],
    }
    return json.dumps(manifest).encode(), blobs


@contextmanager
def serving(engine: Engine, image: str) -> Iterator[str]:
    """A registry that has this image under a name of its own, which the engine does not know yet."""
    manifest, blobs = _exported(engine, image)
    digests = {_digest(manifest): manifest, **blobs}

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            last = self.path.rpartition("/")[2]
            manifests = "/manifests/" in self.path
            content = manifest if manifests and ":" not in last else digests.get(last, b"{}")
            self.send_response(200 if self.path == "/v2/" or manifests or last in digests else 404)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Type", _MANIFEST if manifests else "application/octet-stream")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", _digest(content))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_GET = do_HEAD = _answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    name = f"127.0.0.1:{server.server_port}/team/postgres:15"
    try:
        yield name
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        engine.docker("rmi", name, check=False)
