"""The last steps of set-up: the way from Borg on the server to a repository here, proven by using it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from phpborg import process
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.states import StepState
from servers.errors import ForwardingRefused, RemoteFailed
from servers.models import Server
from servers.services import direct, installing
from servers.services.errors import BorgNotInstalled, DirectConnectionFailed, InstallFailed
from servers.services.reach import host_for, target_of
from servers.services.ways import open_way
from servers.transport import fabric_host, keys, tunnel
from servers.transport.base import Host, RemoteExit

if TYPE_CHECKING:
    from servers.services.setup_steps import SetUp

# What Borg says when it reached `borg serve` here and asked for what does not exist: the way is open.
_REACHED = ("Repository.DoesNotExist", "does not exist")
PROBE_SECONDS = 60


def prove(context: TaskContext, server: Server, row: dict[str, Any]) -> None:
    """Use the way of the data once, as a backup would; nothing is read or written at its end."""
    host = host_for(server)
    if tunnel.is_plain_local(target_of(server)):
        row["state"] = StepState.SKIPPED
        return
    row["detail"] = str(server.mode) if not server.is_local else "socket"
    if server.mode == Server.Mode.DIRECT and not server.is_local:
        _prepare_direct(server, host)
        _prove_direct(context, server, host)
        return
    answer = _ask(context, server, host, "tunnel")
    if not _reached(answer):
        raise ForwardingRefused(_words(answer), address=host.target.label)


def _prepare_direct(server: Server, host: Host) -> None:
    """The key is made on the server, its private half stays there; its public half is let in here."""
    address, port, user = direct.backup_host()
    pinned = fabric_host.fetch_host_key(address, port)
    made = host.call(
        "direct_key",
        {
            "installation": keys.installation_id(),
            "action": "make",
            "address": address,
            "port": port,
            "user": user,
            "host_keys": [pinned.line],
        },
    )
    server.direct_public_key = keys.public_line(str(made["public_key"]))
    server.save(update_fields=["direct_public_key"])
    direct.converge()


def _prove_direct(context: TaskContext, server: Server, host: Host) -> None:
    address, port, _user = direct.backup_host()
    try:
        answer = _ask(context, server, host, "direct")
    except RemoteFailed as error:
        raise DirectConnectionFailed(error.detail, address=f"{address}:{port}") from error
    if not _reached(answer):
        raise DirectConnectionFailed(_words(answer), address=f"{address}:{port}")


def _ask(context: TaskContext, server: Server, host: Host, mode: tunnel.Mode) -> RemoteExit:
    """Borg on the server asks for a repository that does not exist: the very operation that is permitted."""
    with open_way(context, server, host, direct.probe_path(), mode=mode, token=new_token()) as way:
        return host.run(
            "borg",
            {
                "argv": ["list", "--log-json", "--short", way.repository],
                "env": {"BORG_RELOCATED_REPO_ACCESS_IS_OK": "no"},
            },
            link=way,
            stop=context.stop,
            timeout=PROBE_SECONDS,
        )


def _reached(answer: RemoteExit) -> bool:
    return any(words in answer.exit.stderr_tail for words in _REACHED)


def _words(answer: RemoteExit) -> str:
    return (answer.exit.stderr_tail or answer.launcher.stderr_tail)[-1500:]


def local_installer(context: TaskContext, setting_up: SetUp) -> Callable[[str], None]:
    """Install a package on this machine, as root."""

    def install(package: str) -> None:
        commands = installing.install_commands(setting_up.family, package)
        if not commands:
            raise BorgNotInstalled()
        for argv in commands:
            context.stop.check()
            context.log(" ".join(argv))
            try:
                result = process.stream(argv, stop=context.stop, timeout=900)
            except OSError as error:
                raise InstallFailed(str(error)) from error
            context.log(result.stderr_tail)
            if not result.ok and argv is commands[-1]:
                raise InstallFailed(result.stderr_tail[-1500:])

    return install
