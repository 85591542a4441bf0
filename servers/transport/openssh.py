"""A server over OpenSSH: the way of all data. Its configuration is ours alone, its host key is pinned."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from pathlib import Path

from django.conf import settings

from phpborg.errors import PhpBorgError
from phpborg.process import Exit
from servers import errors
from servers.transport.base import Target
from servers.transport.conversation import Conversation
from servers.transport.host import HelperHost, sudo_sentence

ALIAS = "phpborg-target"
_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]{1,45}(%[\w.-]+)?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
HOST_KEY_LINE = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-\S+@openssh\.com) [A-Za-z0-9+/]{40,3000}={0,3}"
)
# With AES in the processor these are three times as fast as OpenSSH's first choice.
CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr"


def directory_of(target: Target) -> Path:
    """The private directory for what we know about a target."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", target.name)[:60]
    digest = hashlib.sha256(target.name.encode()).hexdigest()[:12]
    return Path(settings.VAR_DIR) / "ssh" / f"{plain}-{digest}"


def check_target(target: Target) -> tuple[str, ...]:
    """The pinned host keys; raises before anything is started when a value could not be used."""
    if not _ADDRESS.fullmatch(target.host) or not _USER.fullmatch(target.user) or not 1 <= target.port <= 65535:
        raise errors.HostUnreachable(target.endpoint, address=target.label, port=target.port)
    lines = tuple(" ".join(line.split()[:2]) for line in target.host_key.splitlines() if line.strip())
    if not lines or not all(HOST_KEY_LINE.fullmatch(line) for line in lines):
        raise errors.HostKeyUnknown(address=target.label)
    return lines


def config_text(target: Target, known_hosts: Path) -> str:
    """The whole ssh configuration for one target; nothing of the system's or the account's is read."""
    settings_of_target = {
        "HostName": target.host.replace("%", "%%"),  # a zone (fe80::1%eth0) is no token of ssh
        "Port": str(target.port),
        "User": target.user,
        "HostKeyAlias": ALIAS,
        "UserKnownHostsFile": f'"{known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "VerifyHostKeyDNS": "no",
        "IdentityFile": f'"{target.private_key_path}"' if target.private_key_path else "none",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "BatchMode": "yes",
        "RequestTTY": "no",
        "EscapeChar": "none",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "PermitLocalCommand": "no",
        "ProxyCommand": "none",
        "ControlMaster": "no",
        "ControlPath": "none",
        "Compression": "no",
        "Ciphers": CIPHERS,
        "IPQoS": "throughput",
        "TCPKeepAlive": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": str(settings.SSH_KEEPALIVE_SECONDS),
        "ServerAliveCountMax": "4",
        "ExitOnForwardFailure": "yes",
        "LogLevel": "INFO",
    }
    return f"Host {ALIAS}\n" + "".join(f"  {name} {value}\n" for name, value in settings_of_target.items())


def write_config(target: Target) -> Path:
    """Bring the target's configuration and known_hosts up to date; returns the configuration's path."""
    lines = check_target(target)
    directory = directory_of(target)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    known_hosts, config = directory / "known_hosts", directory / "config"
    _replace(known_hosts, "".join(f"{ALIAS} {line}\n" for line in lines))
    _replace(config, config_text(target, known_hosts))
    return config


def _replace(path: Path, content: str) -> None:
    """Write when it differs, at once: another process may be reading it."""
    if path.exists() and path.read_text() == content:
        return
    new = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    new.replace(path)


class OpenSshHost(HelperHost):
    """Carries out verbs on a server over ssh."""

    def launcher(self, *, options: tuple[str, ...], as_login: bool) -> tuple[str, ...]:
        """The ssh command; the far end's command has no arguments and no secrets."""
        config = write_config(self.target)
        words = ["sudo", "-n"] if self.target.sudo and not as_login else []
        command = shlex.join([*words, self.target.helper_path])
        return ("ssh", "-F", str(config), "-T", *options, ALIAS, command)

    def explain(self, launcher: Exit, conversation: Conversation) -> PhpBorgError:
        """From what ssh, the login shell and sudo said, in that order."""
        heard = conversation.heard
        if launcher.code == 255:
            return self._explain_ssh(heard or launcher.stderr_tail, launcher.stderr_tail, conversation.started)
        return self._explain_launch(launcher, heard, conversation)

    def _explain_ssh(self, heard: str, tail: str, started: bool) -> PhpBorgError:
        label = self.target.label
        for pattern, kind in _SSH_SAYS:
            if re.search(pattern, heard) or re.search(pattern, tail):
                return kind(heard or tail, address=label, port=self.target.port, user=self.target.user)
        if started:
            return errors.ConnectionLost(tail, address=label)
        return errors.HostUnreachable(heard, address=label, port=self.target.port)

    def _explain_launch(self, launcher: Exit, heard: str, conversation: Conversation) -> PhpBorgError:
        label, path = self.target.label, self.target.helper_path
        if conversation.started:
            return errors.ConnectionLost(launcher.stderr_tail, address=label)
        if re.search(r"bad interpreter|required file not found|unable to execute", heard):
            return errors.PythonMissing(heard, address=label)
        sentence = sudo_sentence(heard)
        if "command not found" in sentence and path in sentence:
            return errors.HelperMissing(sentence, address=label, path=path)
        if sentence or (self.target.sudo and "sudo" in heard and launcher.code == 127):
            return errors.SudoRefused(sentence or heard, address=label, user=self.target.user)
        if launcher.code in (126, 127) and path.rsplit("/", 1)[-1] in heard:
            return errors.HelperMissing(heard, address=label, path=path)
        return errors.NoisyLogin(heard or launcher.stderr_tail, address=label)


_SSH_SAYS: tuple[tuple[str, type[PhpBorgError]], ...] = (
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed", errors.HostKeyChanged),
    (r"host key is known for|no matching host key type", errors.HostKeyChanged),
    (r"remote port forwarding failed|forwarding failed", errors.ForwardingRefused),
    (r"Timeout, server .* not responding", errors.TimedOut),
    (r"Connection timed out during banner exchange", errors.TimedOut),
    (r"Permission denied|Too many authentication failures|Load key|no such identity", errors.AuthenticationFailed),
    (r"Connection refused|No route to host|Could not resolve|timed out|Network is unreachable", errors.HostUnreachable),
)
