"""The verb `direct_key`: this server's own key for direct backups. The private half never leaves."""

import os
import re
import shutil
from typing import Dict

from . import children, places, validate, wire

_INSTALLATION = re.compile(r"[0-9a-f-]{8,36}")
_HOST_KEY = re.compile(r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{40,1400}={0,3}")
_CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr"


def _write(path: str, content: str) -> None:
    """Replace a private file at once."""
    new = path + ".new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    os.replace(new, path)


def _config(directory: str, args: Dict[str, object], keepalive: float) -> str:
    address = validate.text(args.get("address"), "address", validate.ADDRESS, 255)
    port = validate.number(args.get("port", 22), "port", 1, 65535)
    user = validate.text(args.get("user"), "user", validate.ACCOUNT)
    return "\n".join(
        [
            "# Written by phpborg-remote: how this server reaches its backup host.",
            "Host phpborg",
            "  HostName " + address,
            "  Port {}".format(port),
            "  User " + user,
            "  HostKeyAlias phpborg",
            '  UserKnownHostsFile "{}/known_hosts"'.format(directory),
            "  GlobalKnownHostsFile /dev/null",
            "  StrictHostKeyChecking yes",
            '  IdentityFile "{}/key"'.format(directory),
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            "  BatchMode yes",
            "  PreferredAuthentications publickey",
            "  CheckHostIP no",
            "  UpdateHostKeys no",
            "  ForwardAgent no",
            "  ForwardX11 no",
            "  RequestTTY no",
            "  Compression no",
            "  Ciphers " + _CIPHERS,
            "  IPQoS throughput",
            "  ConnectTimeout 10",
            "  ServerAliveInterval {}".format(max(1, int(keepalive))),
            "  ServerAliveCountMax 4",
            "",
        ]
    )


def _make(directory: str, request: wire.Request, control: wire.Control) -> None:
    lines = validate.texts(request.args.get("host_keys"), "host_keys", 10)
    host_keys = [validate.text(line, "host key", _HOST_KEY) for line in lines]
    if not host_keys:
        raise wire.Refused("invalid", "the backup host's key must be pinned")
    config = _config(directory, request.args, request.keepalive)
    os.makedirs(os.path.dirname(directory), mode=0o755, exist_ok=True)
    places.make_private(directory)
    key = os.path.join(directory, "key")
    if not os.path.exists(key):
        keygen = children.find("ssh-keygen")
        if keygen is None:
            raise wire.Refused("missing", "ssh-keygen is not installed")
        words = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", "phpborg direct", "-f", key]
        code, output = children.capture(words, control)
        if code:
            raise wire.Refused("io", "ssh-keygen failed: {}".format(output.decode("utf-8", "replace").strip()))
    _write(os.path.join(directory, "known_hosts"), "".join("phpborg {}\n".format(line) for line in host_keys))
    _write(os.path.join(directory, "ssh_config"), config)


def _public(directory: str) -> str:
    with open(os.path.join(directory, "key.pub")) as file:
        return " ".join(file.read().split()[:2])


def direct_key(request: wire.Request, control: wire.Control) -> None:
    """Make (or bring up to date), show or remove the key for one backup host."""
    installation = validate.text(request.args.get("installation"), "installation", _INSTALLATION)
    action = validate.choice(request.args.get("action"), "action", ["make", "show", "remove"])
    directory = places.direct_directory(installation)
    if action == "make":
        _make(directory, request, control)
    if action == "remove":
        if os.path.isdir(directory):
            shutil.rmtree(directory)
        wire.answer({"public_key": None})
        return
    found = os.path.exists(os.path.join(directory, "key.pub"))
    wire.answer({"public_key": _public(directory) if found else None, "directory": directory})
