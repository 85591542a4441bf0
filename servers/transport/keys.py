"""Key pairs and fingerprints, by ssh-keygen."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from phpborg import process
from servers.errors import UnusableKey
from servers.transport.openssh import HOST_KEY_LINE


@dataclass(frozen=True)
class KeyPair:
    """An ed25519 pair; `private` is in OpenSSH's format, `public` is "type base64 comment"."""

    private: str
    public: str


def make_key_pair(comment: str = "phpborg") -> KeyPair:
    """A new pair without a passphrase; it leaves no file."""
    with tempfile.TemporaryDirectory(prefix="phpborg-key-") as directory:
        path = Path(directory) / "key"
        argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
        result = process.stream(argv, timeout=30)
        if not result.ok:
            raise UnusableKey(result.stderr_tail)
        return KeyPair(path.read_text(), path.with_name("key.pub").read_text().strip())


def public_line(text: str) -> str:
    """A public key as "type base64", or UnusableKey: options, line breaks and rubbish are refused."""
    words = text.strip().split(" ")
    line = " ".join(words[:2])
    if "\n" in text.strip() or not HOST_KEY_LINE.fullmatch(line):
        raise UnusableKey(text[:80])
    return line


def fingerprint(line: str) -> str:
    """The fingerprint of "type base64" as OpenSSH shows it: SHA256:…"""
    try:
        blob = base64.b64decode(public_line(line).split()[1], validate=True)
    except binascii.Error:
        raise UnusableKey(line[:80]) from None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def installation_id() -> str:
    """What servers know this installation by; made once."""
    path = Path(settings.VAR_DIR) / "installation-id"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(str(uuid.uuid4()))
    return path.read_text().strip()
