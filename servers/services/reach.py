"""From a server's row to what the transport needs. `host_for(server)` is how everybody reaches a server."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from servers import transport
from servers.errors import HostKeyUnknown
from servers.models import Server
from servers.remote.build import build_helper, helper_version
from servers.transport.base import Host, Target

# Where set-up installs phpborg-remote on a server; the sudo rule names exactly this path.
HELPER_PATH = "/usr/local/lib/phpborg/phpborg-remote"


def target_of(server: Server) -> Target:
    """Where and as whom, with the private key as a file of ours. Raises HostKeyUnknown and SecretUnreadable."""
    if server.is_local:
        return local_target()
    if not server.host_key:
        raise HostKeyUnknown(address=server.address)
    return Target(
        kind="ssh",
        name=str(server.pk),
        address=server.address,
        port=server.port,
        user=server.user,
        sudo=server.user != "root",
        host_key=server.host_key,
        private_key_path=private_key_file(server),
        helper_path=HELPER_PATH,
    )


def host_for(server: Server) -> Host:
    """The host that carries out verbs on this server. Raises as `target_of`."""
    return transport.host_for(target_of(server))


def local_target() -> Target:
    """This machine: as root with a program of our own, else by sudo with the installed one."""
    if os.geteuid() == 0:
        return Target(kind="local", name="localhost", helper_path=str(own_helper()))
    return Target(kind="local", name="localhost", sudo=True, helper_path=str(settings.REMOTE_HELPER))


def own_helper() -> Path:
    """phpborg-remote of this version, built below var/ when it is not there yet."""
    path = Path(settings.VAR_DIR) / "helper" / f"phpborg-remote-{helper_version()}"
    if not path.exists():
        _put(path, build_helper(), 0o755)
    return path


def private_key_file(server: Server) -> Path:
    """The server's private key as a file that only we can read; it exists only in the runtime directory."""
    path = key_path(server)
    clear = server.private_key.reveal()
    content = (clear if clear.endswith("\n") else f"{clear}\n").encode()
    if not path.exists() or path.read_bytes() != content:
        _put(path, content, 0o600)
    return path


def key_path(server: Server) -> Path:
    """Where the private key lies while it is in use."""
    return Path(settings.RUN_DIR) / "keys" / str(server.pk)


def forget_key_file(server: Server) -> None:
    """The private key is no file any more."""
    key_path(server).unlink(missing_ok=True)


def _put(path: Path, content: bytes, mode: int) -> None:
    """Write at once, so that nobody ever reads half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
    new.replace(path)
