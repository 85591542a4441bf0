"""What the rest of the product knows about a server: a target, and a host that carries out verbs on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol

from phpborg.process import Exit, OnLine, Stop

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """Where and as whom; the facts that a connection needs, apart from any database row.

    `host_key` holds the approved key line(s), "type base64". `helper_path` is phpborg-remote on the
    target. `name` is unique and names the target's private directory here.
    """

    kind: Literal["local", "ssh"]
    name: str
    address: str = ""
    port: int = 22
    user: str = "root"
    sudo: bool = False
    host_key: str = ""
    private_key_path: Path | None = None
    helper_path: str = "/usr/local/lib/phpborg/phpborg-remote"

    @property
    def label(self) -> str:
        """How errors name it."""
        return self.address or "localhost"

    @property
    def endpoint(self) -> str:
        """user@address:port, for people."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{shown}:{self.port}" if self.kind == "ssh" else "localhost"

    @property
    def host(self) -> str:
        """The address without the brackets that an IPv6 address may be written with."""
        return self.address.removeprefix("[").removesuffix("]")


@dataclass(frozen=True)
class RemoteExit:
    """How the tool on the server ended, apart from how its launcher (ssh, sudo) ended.

    `noise` is what login scripts or a banner printed before our program answered.
    """

    exit: Exit
    launcher: Exit
    noise: str = ""


@dataclass
class Link:
    """An open way from borg on a server to one repository of this host (see tunnel.py).

    `repository` is the location for borg there. `on_stderr` gets the lines of `borg serve` here, from
    another thread. One link serves any number of runs.
    """

    repository: str
    argument: Mapping[str, Any]
    # For a tunnel: the private directory on the server, and our socket that is carried there.
    remote_directory: str = ""
    local_socket: str = ""
    on_stderr: OnLine | None = field(default=None)
    # Once the link was closed without an error: nothing that was made for it is left on either side.
    gone: bool = False
    _runs: Iterator[int] = field(default_factory=lambda: count(1))

    def carry(self) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """For one run: what goes into the request, and the options of ssh."""
        if not self.remote_directory:
            return self.argument, ()
        # sshd leaves its socket behind and refuses a name that exists: each run has its own.
        remote = f"{self.remote_directory}/link-{next(self._runs)}.sock"
        return {**self.argument, "path": remote}, ("-R", f"{remote}:{self.local_socket}")

    def location(self, archive: str) -> str:
        """The location of an archive, as borg on the server must be given it."""
        return f"{self.repository}::{archive}"


class Host(Protocol):
    """Carries out the verbs of phpborg-remote on one target."""

    target: Target

    def call(
        self,
        verb: str,
        args: Arguments | None = None,
        *,
        timeout: float = 30,
        stop: Stop | None = None,
        as_login: bool = False,
        most_bytes: int = ...,
        secrets: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """A verb that answers facts. `as_login`: as the account that ssh signs in with, without sudo.

        An answer of more than `most_bytes` is RemoteFailed: a server may say anything.
        """
        ...

    def run(
        self,
        verb: str,
        args: Arguments | None = None,
        *,
        secrets: Mapping[str, str] | None = None,
        on_stdout: OnLine | None = None,
        on_stderr: OnLine | None = None,
        stop: Stop | None = None,
        timeout: float | None = None,
        link: Link | None = None,
        tick: Callable[[], None] | None = None,
    ) -> RemoteExit:
        """A verb that runs a tool; its lines are handed over as they come.

        Without `on_stdout` the output is in `RemoteExit.exit.stdout`. A `stop` or the `timeout` first
        asks the far end to finish; `exit.stopped` says so. Raises a class of servers.errors when the
        tool was not started or the connection was lost; never merely because the tool failed.
        """
        ...

    def one_connection(self) -> AbstractContextManager[None]:
        """Within it a `call` leaves its connection to the request that follows at once: a sign-in costs 0.2 s.

        A `run` is the last on its connection. What cannot go over the one that was left (other options,
        another account, too long ago, lost meanwhile) has its own. For one thread.
        """
        ...
