"""First contact and set-up over SSH by fabric: fingerprint, our key, the helper's installation.

The host key is compared before anything is sent, a password is used once and kept nowhere, and no
shell of ours is involved: commands are argv tuples, quoted for the account's login shell.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import secrets as random
import shlex
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import fabric
import paramiko
from fabric.config import Config
from fabric.runners import Remote
from invoke.exceptions import CommandTimedOut
from paramiko.hostkeys import HostKeys

from phpborg.errors import PhpBorgError
from servers import errors
from servers.remote.build import build_helper
from servers.transport.base import Target
from servers.transport.keys import fingerprint, public_line
from servers.transport.openssh import check_target

_TIMEOUT = 10
_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")


@dataclass(frozen=True)
class HostKey:
    """What a server shows as its identity; `line` is "type base64"."""

    line: str
    fingerprint: str


@dataclass(frozen=True)
class Result:
    """What a set-up command printed and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both streams, for a message."""
        return (self.stdout + self.stderr).strip()


def fetch_host_key(address: str, port: int) -> HostKey:
    """The key that the server shows; nothing is sent beyond the key exchange, nobody signs in."""
    host = address.removeprefix("[").removesuffix("]")
    try:
        sock = socket.create_connection((host, port), timeout=_TIMEOUT)
    except OSError as error:
        raise errors.HostUnreachable(str(error), address=address, port=port) from error
    transport = paramiko.Transport(sock)
    try:
        transport.banner_timeout = transport.handshake_timeout = _TIMEOUT
        # One key is pinned: the best that the server has.
        transport.get_security_options().key_types = tuple(
            kind for kind in _KEY_TYPES if kind in transport.get_security_options().key_types
        )
        transport.start_client(timeout=_TIMEOUT)
        key = transport.get_remote_server_key()
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise errors.HostUnreachable(str(error), address=address, port=port) from error
    finally:
        transport.close()
    line = f"{key.get_name()} {key.get_base64()}"
    return HostKey(line, fingerprint(line))


class FabricHost:
    """A connection for set-up. Use it as a context: `with FabricHost.connect(target) as host`."""

    def __init__(self, connection: Any, target: Target) -> None:
        self._connection = connection
        self.target = target

    @classmethod
    @contextmanager
    def connect(cls, target: Target, *, password: str | None = None) -> Iterator[FabricHost]:
        """Sign in with the target's key, or once with a password."""
        connection = _connection(target, password)
        try:
            _open(connection, target)
            yield cls(connection, target)
        finally:
            connection.close()

    def execute(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: int = 60) -> Result:
        """Run one command; its exit status is in the result."""
        command = shlex.join(argv)
        reading = io.BytesIO(stdin)
        try:
            done = self._connection.run(
                command, hide=True, warn=True, pty=False, timeout=timeout, in_stream=_Text(reading), encoding="utf-8"
            )
        except CommandTimedOut as error:
            raise errors.TimedOut(argv[0], address=self.target.label) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise errors.ConnectionLost(str(error), address=self.target.label) from error
        return Result(done.exited, done.stdout, done.stderr)

    def send_file(self, path: str, content: bytes) -> None:
        """Write a file of the signed-in account, whole, and prove it by its hash."""
        channel = self._connection.client.get_transport().open_session(timeout=_TIMEOUT)
        try:
            channel.settimeout(60)
            channel.exec_command(shlex.join(("dd", f"of={path}", "status=none")))
            channel.sendall(content)
            channel.shutdown_write()
            code = channel.recv_exit_status()
            detail = channel.makefile_stderr("rb").read(2000).decode("utf-8", "replace")
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise errors.ConnectionLost(str(error), address=self.target.label) from error
        finally:
            channel.close()
        if code != 0:
            raise errors.RemoteFailed(detail, address=self.target.label)
        self._check_hash((), path, content)

    def _check_hash(self, prefix: tuple[str, ...], path: str, content: bytes, stdin: bytes = b"") -> None:
        result = self.execute((*prefix, "sha256sum", "--", path), stdin=stdin)
        if hashlib.sha256(content).hexdigest() not in result.stdout:
            raise errors.RemoteFailed(result.text or path, address=self.target.label)

    def install_public_key(self, public_key: str) -> None:
        """Add our key to the account's authorized_keys, once; other lines stay."""
        line = public_line(public_key)
        known = self.execute(("cat", ".ssh/authorized_keys"))
        if line in known.stdout:
            return
        # mkdir and the file are made private; an existing file keeps its mode.
        for argv in (("mkdir", "-p", "-m", "700", ".ssh"), ("touch", ".ssh/authorized_keys")):
            self._must(argv)
        if known.code != 0 or not known.stdout:
            self._must(("chmod", "600", ".ssh/authorized_keys"))
        # A last line without its end must not swallow ours.
        start = "\n" if known.stdout and not known.stdout.endswith("\n") else ""
        self._must(("tee", "-a", ".ssh/authorized_keys"), stdin=f"{start}{line} phpborg\n".encode())

    def install_helper(self, *, sudo_password: str | None = None) -> None:
        """Put phpborg-remote in its place, owned by root, in one step."""
        self._install(build_helper(), self.target.helper_path, "0755", sudo_password)

    def install_sudoers(self, content: str, path: str, *, sudo_password: str | None = None) -> None:
        """Put a sudoers file in its place after visudo has accepted it there."""
        self._install(content.encode(), path, "0440", sudo_password, check=("visudo", "-c", "-q", "-f"))

    def _install(
        self, content: bytes, path: str, mode: str, sudo_password: str | None, check: tuple[str, ...] = ()
    ) -> None:
        """Send as the account, then let root copy, prove and rename: no moment with half a file."""
        prefix, stdin = self._as_root(sudo_password)
        directory, _, name = path.rpartition("/")
        token = random.token_hex(8)
        sent = f"/tmp/phpborg-{token}"  # noqa: S108  (private; the root-owned copy is what gets proven)
        new = f"{directory}/.{name}.{token}"
        self._must(("install", "-m", "600", "/dev/null", sent))
        try:
            self.send_file(sent, content)
            if not check:
                self._must((*prefix, "install", "-d", "-o", "root", "-g", "root", "-m", "755", directory), stdin=stdin)
            self._must((*prefix, "install", "-o", "root", "-g", "root", "-m", mode, sent, new), stdin=stdin)
            try:
                self._check_hash(prefix, new, content, stdin)
                if check:
                    self._must((*prefix, *check, new), stdin=stdin)
                self._must((*prefix, "mv", "-fT", new, path), stdin=stdin)
            except PhpBorgError:
                self.execute((*prefix, "rm", "-f", new), stdin=stdin)
                raise
        finally:
            with suppress(PhpBorgError):
                self.execute(("rm", "-f", sent))

    def _as_root(self, sudo_password: str | None) -> tuple[tuple[str, ...], bytes]:
        """The words before a command that needs root, and what to write for them."""
        if self.target.user == "root":
            return (), b""
        if sudo_password is None:
            return ("sudo", "-n"), b""
        return ("sudo", "-S", "-k", "-p", ""), sudo_password.encode() + b"\n"

    def _must(self, argv: Sequence[str], *, stdin: bytes = b"") -> Result:
        result = self.execute(argv, stdin=stdin)
        if result.code == 0:
            return result
        if argv[0] == "sudo" and re.search(r"sudo: |not in the sudoers|not allowed|incorrect password", result.stderr):
            raise errors.SudoRefused(result.stderr.strip(), address=self.target.label, user=self.target.user)
        raise errors.RemoteFailed(result.text, address=self.target.label)


class _Text:
    """Bytes as the text stream that invoke reads one character at a time."""

    def __init__(self, data: io.BytesIO) -> None:
        self._data = data

    def read(self, size: int = -1) -> str:
        return self._data.read(size).decode("latin-1")


class _Patient(Remote):  # type: ignore[misc]
    """A command may end without reading what we send it; its exit status still tells how it went."""

    def _write_proc_stdin(self, data: bytes) -> None:
        with suppress(OSError):
            super()._write_proc_stdin(data)

    def close_proc_stdin(self) -> None:
        with suppress(OSError):
            super().close_proc_stdin()


def _connection(target: Target, password: str | None) -> Any:
    lines = check_target(target)
    config = Config(overrides={"load_ssh_configs": False, "runners": {"remote": _Patient}}, lazy=True)
    connect: dict[str, Any] = {
        "allow_agent": False,
        "look_for_keys": False,
        "banner_timeout": _TIMEOUT,
        "auth_timeout": _TIMEOUT,
    }
    if password is not None:
        connect["password"] = password
    else:
        connect["key_filename"] = str(target.private_key_path)
    connection = fabric.Connection(
        target.host, user=target.user, port=target.port, config=config, connect_timeout=_TIMEOUT, connect_kwargs=connect
    )
    # fabric accepts every host key by default.
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    _pin(connection.client.get_host_keys(), target, lines)
    return connection


def _pin(known: HostKeys, target: Target, lines: tuple[str, ...]) -> None:
    name = target.host if target.port == 22 else f"[{target.host}]:{target.port}"
    for line in lines:
        kind, blob = line.split()
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(blob))
        known.add(name, kind, key)


def _open(connection: Any, target: Target) -> None:
    facts: dict[str, Any] = {"address": target.label, "port": target.port, "user": target.user}
    try:
        connection.open()
    except (paramiko.BadHostKeyException, paramiko.ssh_exception.IncompatiblePeer) as error:
        raise errors.HostKeyChanged(str(error), **facts) from error
    except paramiko.AuthenticationException as error:
        raise errors.AuthenticationFailed(str(error), **facts) from error
    except paramiko.SSHException as error:
        if "not found in known_hosts" in str(error):
            raise errors.HostKeyChanged(str(error), **facts) from error
        if "banner" in str(error) or "imeout" in str(error):
            raise errors.TimedOut(str(error), **facts) from error
        raise errors.HostUnreachable(str(error), **facts) from error
    except (OSError, EOFError) as error:
        raise errors.HostUnreachable(str(error), **facts) from error
