"""The parts that `script/lab` starts, shows and ends, in the order in which they build on each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.lab import ferretdb, guest_image, images, opensearch, servers, zfs_image
from tests.lab.engine import Engine


@dataclass(frozen=True)
class Status:
    """One line of the table. `address` is empty for what does not run or is only a file."""

    built: bool
    running: bool | None
    address: str = ""


@dataclass(frozen=True)
class Part:
    """`up` builds what is missing and starts it, or does nothing; `down` may be called at any time.

    The engine runs during `up`. `down` is called before the engine ends; None: it ends with the engine.
    """

    name: str
    up: Callable[[Engine], None]
    status: Callable[[Engine], Status]
    down: Callable[[Engine], None] | None = None


def _engine_status(engine: Engine) -> Status:
    answers = engine.pid is not None and engine.answers()
    return Status(engine.data.is_dir(), answers, f"unix://{engine.socket}" if answers else "")


def _image(image: images.Image) -> Part:
    return Part(
        f"image {image.name.removesuffix(':latest')}",
        lambda engine: images.ensure(engine, image),
        lambda engine: Status(images.built(engine, image), None),
    )


def _server_status(kind: servers.Kind, engine: Engine) -> Status:
    server = servers.running(engine, kind)
    shown = f"sshd {server.address}:{server.port}, database {', '.join(map(str, kind.ports))}" if server else ""
    return Status(images.built(engine, kind.image), server is not None, shown)


def _server(kind: servers.Kind) -> Part:
    return Part(
        f"server {kind.name}",
        lambda engine: servers.ensure_running(engine, kind),
        partial(_server_status, kind),
    )


def _build_opensearch(engine: Engine) -> None:
    opensearch.home()


def _build_ferretdb(engine: Engine) -> None:
    ferretdb.built()
    ferretdb.tools()


def _build_guest(engine: Engine) -> None:
    guest_image.drives()


def _build_zfs(engine: Engine) -> None:
    zfs_image.image()


# Of these a test starts a fresh one itself.
_NODES = (
    Part("OpenSearch", _build_opensearch, lambda engine: Status(opensearch.is_built(), None)),
    Part("FerretDB", _build_ferretdb, lambda engine: Status(ferretdb.is_built(), None)),
)
# Started by the test that wants one, from drives that forget what was written to them.
_GUESTS = (
    Part("virtual machine", _build_guest, lambda engine: Status(guest_image.is_built(), None)),
    Part("virtual machine with ZFS", _build_zfs, lambda engine: Status(zfs_image.is_built(), None)),
)

PARTS = (
    Part("engine", lambda engine: None, _engine_status),
    *(_image(image) for image in images.IMAGES),
    *(_server(kind) for kind in servers.KINDS),
    *_NODES,
    *_GUESTS,
)
