"""The sign-in of MongoDB (RFC 5802 and 7677): we prove that we know the password, and so does the server."""

import base64
import hashlib
import hmac
import os
import unicodedata
from typing import Callable, Dict, Optional, Tuple

# An honest server asks for 10 000 or 15 000 rounds; fewer would help one that only wants to guess the password.
_ROUNDS = (4096, 1000000)
NAMES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}


class Failed(Exception):
    """The other side is not a server that knows the password."""


def first(user: str, nonce: Optional[str] = None) -> Tuple[str, str]:
    """(the first message without its head, the nonce in it)."""
    chosen = nonce or base64.b64encode(os.urandom(24)).decode("ascii")
    return "n={},r={}".format(user.replace("=", "=3D").replace(",", "=2C"), chosen), chosen


def prepared(mechanism: str, user: str, password: str) -> bytes:
    """The password as MongoDB takes it: for the old mechanism a digest of it, else its normal form."""
    if mechanism == "SCRAM-SHA-1":
        digest = hashlib.md5("{}:mongo:{}".format(user, password).encode("utf-8"))
        return digest.hexdigest().encode("ascii")
    return unicodedata.normalize("NFKC", password).encode("utf-8")


def final(mechanism: str, secret: bytes, said: str, answer: str, nonce: str) -> Tuple[str, Callable[[str], None]]:
    """(the last message, a check of the server's own proof). Raises Failed; the check does, too."""
    fields = _fields(answer)
    rounds = int(fields["i"]) if fields.get("i", "").isdecimal() else 0
    if not fields.get("r", "").startswith(nonce) or fields["r"] == nonce or not _ROUNDS[0] <= rounds <= _ROUNDS[1]:
        raise Failed("the server's part of the sign-in is not right")
    kind = NAMES[mechanism]
    salted = hashlib.pbkdf2_hmac(kind, secret, base64.b64decode(fields.get("s", "")), rounds)
    bare = "c=biws,r=" + fields["r"]
    text = ",".join([said, answer, bare]).encode("utf-8")
    key = _mac(kind, salted, b"Client Key")
    signature = _mac(kind, hashlib.new(kind, key).digest(), text)
    proof = bytes(left ^ right for left, right in zip(key, signature))
    expected = _mac(kind, _mac(kind, salted, b"Server Key"), text)

    def check(last: str) -> None:
        if not hmac.compare_digest(base64.b64decode(_fields(last).get("v", "")), expected):
            raise Failed("the server does not know the password")

    return "{},p={}".format(bare, base64.b64encode(proof).decode("ascii")), check


def _mac(kind: str, key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, kind).digest()


def _fields(text: str) -> Dict[str, str]:
    parts = [part.partition("=") for part in text.split(",")]
    return {name: value for name, _, value in parts}
