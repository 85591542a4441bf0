"""Nodes of OpenSearch 2.19, put together from the jars of Maven Central: no image and no package has one.

They speak Elasticsearch's protocol for indices and snapshots. What a distribution adds to the jars (descriptors of
two modules, the right to use the network, a log to the console) is written here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from tests.lab import cache
from tests.lab.engine import Engine, LabFailed
from tests.support import own_image
from tests.support.sshd import free_port

VERSION = "2.19.6"
ADDRESS = "127.0.0.23"
ACCOUNT = "nobody"
START_SECONDS = 120
# The node, how it logs, and its two modules: HTTP, and the analysers that an index needs.
_ARTIFACTS = (
    ("org.opensearch", "opensearch", VERSION),
    ("org.opensearch", "opensearch-plugin-classloader", VERSION),
    ("org.apache.logging.log4j", "log4j-core", "2.25.4"),
    ("org.opensearch.plugin", "transport-netty4-client", VERSION),
    ("org.opensearch.plugin", "analysis-common", VERSION),
)
_MODULES = {
    "transport-netty4": ("org.opensearch.transport.Netty4Plugin", ("transport-netty4-client-*.jar", "netty-*.jar")),
    "analysis-common": ("org.opensearch.analysis.common.CommonAnalysisPlugin", ("analysis-common-*.jar",)),
}
_DESCRIPTOR = """name={name}
description={name}
version={version}
opensearch.version={version}
java.version=11
classname={main}
"""
_POLICY = 'grant {\n  permission java.net.SocketPermission "*", "accept,connect,resolve";\n};\n'
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>lab</groupId><artifactId>node</artifactId><version>1</version>
<dependencies>{}</dependencies></project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_LOGGING = """appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1.} %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""
_RECIPE = repr((_ARTIFACTS, _MODULES, _DESCRIPTOR, _POLICY, 1))
_JAVA = (
    *("java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.security.manager=allow"),
    *("-Dio.netty.noUnsafe=true", "-Dlog4j2.disable.jmx=true"),
)


@dataclass(frozen=True)
class Node:
    """One running node. It has two directories of data, and `repositories` as its first path.repo."""

    place: Path
    port: int
    process: subprocess.Popen[bytes]
    data: tuple[Path, ...]  # its path.data

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://{ADDRESS}:{self.port}"

    @property
    def repositories(self) -> Path:
        """Its path.repo."""
        return self.place / "repositories"

    @property
    def access(self) -> dict[str, Any]:
        """How the helper is told of it."""
        return {"url": self.url, "login": {"method": "none"}, "path_repo": str(self.repositories)}

    def ask(self, method: str, path: str, body: Any = None, *, check: bool = True) -> Any:
        """One question and its JSON answer. AssertionError with the node's words for a status of 400 and above."""
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": kind}, method=method)
        try:
            with _OPENER.open(request, timeout=60) as response:
                return json.load(response)
        except HTTPError as error:
            said = error.read().decode()
            if check:
                raise AssertionError(f"{method} {path}: {error.code} {said}") from error
            return json.loads(said)

    def documents(self, index: str) -> dict[str, Any]:
        """Every document of an index by its id (10 000 at most), after a refresh."""
        self.ask("POST", f"/{index}/_refresh")
        found = self.ask("GET", f"/{index}/_search?size=10000")["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in found}

    def log(self) -> str:
        """What it has said."""
        return (self.place / "log").read_text(errors="replace")


# A proxy of this machine is not for what runs on it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def home() -> Path:
    """The directory with `lib` and `modules`, made when it is missing."""
    return cache.cached("opensearch", _RECIPE, _build)


def is_built() -> bool:
    """Are the jars there?"""
    return cache.is_there("opensearch", _RECIPE)


@contextmanager
def running_node(name: str = "one", data: tuple[Path, ...] = (), repositories: tuple[Path, ...] = ()) -> Iterator[Node]:
    """A node for a block, as an account without rights; it ends with this process, whatever happens.

    Fresh and with two directories of its own, unless it starts from what lies in `data`. `repositories` are in its
    path.repo too.
    """
    program = home()
    place = Path(tempfile.mkdtemp(prefix="phpborg-opensearch-"))
    place.chmod(0o755)
    process = None
    try:
        data = data or (place / "data/one", place / "data/two")
        port = _configure(place, name, data, repositories)
        process = _start(program, place)
        node = Node(place, port, process, data)
        _wait(node)
        yield node
    finally:
        if process is not None:
            # It would take its time to put in order what is thrown away.
            process.kill()
            process.wait()
        shutil.rmtree(place)


def _build(path: Path) -> None:
    if shutil.which("mvn") is None or shutil.which("java") is None:
        raise LabFailed("OpenSearch needs Java 17 and Maven: script/lab up installs them.")
    pom = path / "pom.xml"
    pom.write_text(_POM.format("".join(_DEPENDENCY.format(*artifact) for artifact in _ARTIFACTS)))
    copy = ("dependency:copy-dependencies", f"-DoutputDirectory={path / 'lib'}", "-DincludeScope=runtime")
    done = subprocess.run(["mvn", "-B", "-q", "-f", str(pom), *copy], capture_output=True, text=True)
    if done.returncode:
        raise LabFailed(f"Maven could not fetch OpenSearch:\n{done.stdout[-2000:]}{done.stderr[-1000:]}")
    for name, (main, jars) in _MODULES.items():
        module = path / "modules" / name
        module.mkdir(parents=True)
        for jar in (jar for pattern in jars for jar in (path / "lib").glob(pattern)):
            jar.rename(module / jar.name)
        descriptor = _DESCRIPTOR.format(name=name, version=VERSION, main=main)
        (module / "plugin-descriptor.properties").write_text(descriptor)
    (path / "modules/transport-netty4/plugin-security.policy").write_text(_POLICY)


def _configure(place: Path, name: str, data: tuple[Path, ...], repositories: tuple[Path, ...]) -> int:
    """Directories and files of one node; the port on which it will answer."""
    config, port = place / "config", free_port(ADDRESS)
    for folder in (*(place / name for name in ("config", "plugins", "logs", "repositories")), *data):
        folder.mkdir(parents=True, exist_ok=True)
    (config / "log4j2.properties").write_text(_LOGGING)
    settings = {
        "cluster.name": f"lab-{name}",
        "node.name": name,
        "network.host": ADDRESS,
        "http.port": port,
        "transport.port": free_port(ADDRESS),
        "discovery.type": "single-node",
        "path.data": [str(path) for path in data],
        "path.repo": [str(path) for path in (place / "repositories", *repositories)],
        "cluster.routing.allocation.disk.threshold_enabled": False,
    }
    # JSON is YAML.
    (config / "opensearch.yml").write_text(json.dumps(settings, indent=1))
    # In its home it makes more directories of its own.
    for path in (place, config, *data, place / "logs", place / "repositories"):
        shutil.chown(path, ACCOUNT, "nogroup")
        path.chmod(0o755 if path == place else 0o750)
    return port


def _start(program: Path, place: Path) -> subprocess.Popen[bytes]:
    # The node looks for its modules in its home, and its home is where it writes.
    (place / "modules").symlink_to(program / "modules")
    own = (f"-Dopensearch.path.home={place}", f"-Dopensearch.path.conf={place / 'config'}")
    become = ("setpriv", f"--reuid={ACCOUNT}", "--regid=nogroup", "--clear-groups", "--pdeathsig=SIGKILL")
    argv = (*become, *_JAVA, *own, "-cp", f"{program / 'lib'}/*", "org.opensearch.bootstrap.OpenSearch")
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    with (place / "log").open("wb") as log:
        return subprocess.Popen(argv, cwd=place, env=env, stdout=log, stderr=subprocess.STDOUT)


def _wait(node: Node) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            node.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=60s")
            return
        except (URLError, OSError) as error:
            if node.process.poll() is not None or time.monotonic() > deadline:
                raise LabFailed(f"The node of OpenSearch does not answer:\n{node.log()[-3000:]}") from error
            time.sleep(0.2)


_PROGRAM = """#!/bin/sh
# Its jars have neither of the two plugins that an image of its makers has: nor their settings.
for word do
  shift
  case $word in -Eplugins.*) ;; *) set -- "$@" "$word" ;; esac
done
exec /usr/lib/jvm/java-17-openjdk-amd64/bin/java {java} \\
  -Dopensearch.path.home={home} -Dopensearch.path.conf="$OPENSEARCH_PATH_CONF" -cp '{home}/lib/*' \\
  -Djava.io.tmpdir=/tmp org.opensearch.bootstrap.OpenSearch "$@"
"""
_IMAGE_HOME = "/usr/share/opensearch"


def image(engine: Engine) -> str:
    """An image with the node where its makers' image has it; answers its tag."""
    text = _PROGRAM.format(java=" ".join(_JAVA[1:]), home=_IMAGE_HOME)

    def place(path: Path) -> None:
        for name in ("bin", "plugins"):
            (path / name).mkdir()
        for name in ("lib", "modules"):
            (path / name).symlink_to(home() / name)
        program = path / "bin/opensearch"
        program.write_text(text)
        program.chmod(0o755)

    there = cache.cached("opensearch-image", _RECIPE + text, place)
    java = ("/usr/lib/jvm/java-17-openjdk-amd64", "/etc/java-17-openjdk", "/bin/sh")
    return own_image.build(
        engine,
        f"phpborg-test/opensearch:{VERSION}",
        *(str(there), *java),
        leave_out=("*/src.zip", "*/jmods", "*/man"),
        moved=(str(there), _IMAGE_HOME),
    )
