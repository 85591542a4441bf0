"""The removal of a server: first what is ours on it, as far as it can be reached; then our rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext_noop

from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Finding, Outcome
from phpborg.tasks.states import State, StepState
from servers.errors import (
    AuthenticationFailed,
    ConnectionLost,
    HostKeyChanged,
    HostUnreachable,
    RemoteFailed,
    TimedOut,
)
from servers.models import Server
from servers.services import direct, installing, reach
from servers.services.errors import ServerBusy
from servers.services.reach import forget_key_file, host_for, target_of
from servers.services.removal import Archives, blockers, delete_server
from servers.transport import fabric_host, keys
from servers.transport.openssh import directory_of

TITLES = {
    "direct-key": gettext_noop("Key for direct backups"),
    "files": gettext_noop("phpBorg's files on the server"),
    "our-key": gettext_noop("Our key in authorized_keys"),
    "rows": gettext_noop("Jobs and server"),
    "grant": gettext_noop("Right to write to this host"),
}
UNREACHABLE = (HostUnreachable, HostKeyChanged, AuthenticationFailed, ConnectionLost, TimedOut)
# Exactly what set-up makes; the directories only when nothing else is in them.
TREES = ("/var/lib/phpborg/borg",)
DIRECT_KEYS = "/etc/phpborg/direct"
DIRECTORIES = ("/var/lib/phpborg", DIRECT_KEYS)
_KEEP_OTHER_LINES = (
    "import os, sys\n"
    "path = os.path.realpath(os.path.expanduser('~/.ssh/authorized_keys'))\n"
    "key = sys.stdin.read().encode()\n"
    "lines = open(path, 'rb').read().splitlines(keepends=True)\n"
    "kept = [line for line in lines if key not in line]\n"
    "new = path + '.phpborg'\n"
    "status = os.stat(path)\n"
    "with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as file:\n"
    "    file.write(b''.join(kept))\n"
    "os.chmod(new, status.st_mode & 0o7777)\n"
    "os.replace(new, path)\n"
)


def run(context: TaskContext, server: Server, *, archives: Archives, clean: bool) -> Outcome:
    """Carry the removal out. What cannot be taken off the server is a note, not a failure. Raises ServerBusy."""
    busy = blockers(server, besides=context.task)
    if busy:
        raise ServerBusy(server=server.name, count=len(busy))
    left: list[Finding] = []
    if clean and not server.is_local and server.host_key:
        left = _Cleaning(context, server).carry_out()
    context.stop.check()
    with context.step("rows", TITLES["rows"]) as row:
        _forget_files(server)
        numbers = delete_server(server=server, archives=archives, task=context.task)
        row["detail"] = server.name
    with context.step("grant", TITLES["grant"]):
        direct.converge()
    return Outcome(state=State.NOTES if left else State.SUCCESS, findings=tuple(left), result=numbers)


def _forget_files(server: Server) -> None:
    """The key and the ssh configuration of this server on this host."""
    forget_key_file(server)
    if server.is_local or not server.host_key:
        return
    directory = directory_of(target_of(server))
    forget_key_file(server)
    for name in ("config", "known_hosts"):
        (directory / name).unlink(missing_ok=True)
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


class _Cleaning:
    """Takes what is ours off a server; each step that fails is said and does not stop the next."""

    def __init__(self, context: TaskContext, server: Server) -> None:
        self.context = context
        self.server = server
        self.left: list[Finding] = []
        self.is_unreachable = False  # then the other steps would only wait

    def carry_out(self) -> list[Finding]:
        if self.server.direct_public_key:
            with self._attempt("direct-key"):
                host_for(self.server).call(
                    "direct_key", {"installation": keys.installation_id(), "action": "remove"}, stop=self.context.stop
                )
        if self.is_unreachable:
            return self.left
        with self._attempt("files") as row, fabric_host.FabricHost.connect(target_of(self.server)) as host:
            self._files(host, row)
        if self.is_unreachable:
            return self.left
        with self._attempt("our-key"), fabric_host.FabricHost.connect(target_of(self.server)) as host:
            key = keys.public_line(self.server.public_key)
            result = host.execute(("/usr/bin/python3", "-c", _KEEP_OTHER_LINES), stdin=key.encode())
            if result.code != 0:
                raise RemoteFailed(result.text[-1000:], address=self.server.address)
        return self.left

    def _files(self, host: fabric_host.FabricHost, row: dict[str, Any]) -> None:
        """Files and caches, as root; they stay where another installation needs them too."""
        prefix = () if self.server.user == "root" else ("sudo", "-n")
        if self._is_shared(host, prefix):
            row["state"] = StepState.SKIPPED
            return
        commands = (
            ("rm", "-rf", "--one-file-system", "--", *TREES),
            ("rm", "-f", "--", installing.SUDOERS_PATH, reach.HELPER_PATH),
            ("rmdir", "--ignore-fail-on-non-empty", "--", *DIRECTORIES, reach.HELPER_PATH.rpartition("/")[0]),
        )
        by_hand = "\n".join(" ".join(words) for words in commands)
        for words in commands[:2]:
            result = host.execute((*prefix, *words))
            if result.code != 0:
                row["commands"] = by_hand
                raise RemoteFailed(result.text[-1000:], address=self.server.address)
        host.execute((*prefix, *commands[2]))

    def _is_shared(self, host: fabric_host.FabricHost, prefix: tuple[str, ...]) -> bool:
        """Does another phpBorg come here, with a key of its own in either direction?"""
        direct_keys = host.execute((*prefix, "find", DIRECT_KEYS, "-mindepth", "1", "-maxdepth", "1"))
        ours = keys.public_line(self.server.public_key)
        let_in = host.execute(("grep", "-h", " phpborg$", ".ssh/authorized_keys"))
        return DIRECT_KEYS in direct_keys.stdout or any(ours not in line for line in let_in.stdout.splitlines() if line)

    @contextmanager
    def _attempt(self, code: str) -> Iterator[dict[str, Any]]:
        """A step whose failure is a note: the server may be gone for good."""
        self.context.stop.check()
        try:
            with self.context.step(code, TITLES[code]) as row:
                yield row
        except PhpBorgError as error:
            self.context.log(str(error))
            self.context.steps[-1]["state"] = StepState.WARNING
            self.context.save()
            self.left.append(Finding(code, str(error)))
            self.is_unreachable = self.is_unreachable or isinstance(error, UNREACHABLE)
