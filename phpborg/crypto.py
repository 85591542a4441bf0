"""Secrets at rest: an encrypted model field, and redaction of what could slip into a log.

The key file (settings.ENCRYPTION_KEY_FILE) holds one Fernet key a line, newest first; older lines
still decrypt, so a key is changed by adding a line. It is apart from SECRET_KEY on purpose: one may
be lost without the other.
"""

from __future__ import annotations

import logging
import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from phpborg.errors import SecretUnreadable


def create_key_file(path: Path) -> None:
    """Write a new key, readable by its owner only. An existing file is never touched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")


@lru_cache(maxsize=4)
def _fernet(path: str, stamp: float) -> MultiFernet:
    keys = [line.strip() for line in Path(path).read_bytes().splitlines() if line.strip()]
    return MultiFernet([Fernet(key) for key in keys])


def _current() -> MultiFernet:
    path = Path(settings.ENCRYPTION_KEY_FILE)
    try:
        return _fernet(str(path), path.stat().st_mtime)
    except (OSError, ValueError) as error:
        raise SecretUnreadable(f"{path}: {error}") from error


def encrypt(clear: str) -> str:
    """Clear text to a Fernet token."""
    return _current().encrypt(clear.encode("utf-8", "surrogateescape")).decode("ascii")


def decrypt(token: str) -> str:
    """A Fernet token to clear text. Raises SecretUnreadable; never answers the token itself."""
    try:
        return _current().decrypt(token.encode("ascii")).decode("utf-8", "surrogateescape")
    except (InvalidToken, UnicodeEncodeError) as error:
        raise SecretUnreadable() from error


class EncryptedText(str):
    """A stored secret that is still encrypted; `reveal()` is the only way to the clear text."""

    def reveal(self) -> str:
        """The clear text; also registers it for redaction. Raises SecretUnreadable."""
        if not self:
            return ""
        clear = decrypt(str.__str__(self))
        remember_secret(clear)
        return clear

    def __repr__(self) -> str:
        return "EncryptedText(***)"


class EncryptedField(models.TextField):  # type: ignore[type-arg]
    """A text column that holds Fernet tokens.

    Assign `EncryptedField.seal(clear)`; read `.reveal()`. A page that loads the row for another
    reason therefore never needs the key, and cannot print the secret by accident.
    """

    @staticmethod
    def seal(clear: str) -> EncryptedText:
        """Clear text to the value that the column stores; empty stays empty."""
        return EncryptedText(encrypt(clear)) if clear else EncryptedText("")

    def from_db_value(self, value: str | None, *_: Any) -> EncryptedText | None:
        return None if value is None else EncryptedText(value)

    def to_python(self, value: Any) -> EncryptedText | None:
        return value if value is None or isinstance(value, EncryptedText) else EncryptedText(value)

    def get_prep_value(self, value: Any) -> Any:
        if value and not isinstance(value, EncryptedText):
            raise TypeError("a secret is stored only through EncryptedField.seal()")
        return None if value is None else str.__str__(value)


_secrets: set[str] = set()
_lock = threading.Lock()


def remember_secret(clear: str) -> None:
    """Redact this text from now on wherever `redact` is applied in this process."""
    if len(clear) >= 4:
        with _lock:
            _secrets.add(clear)


def redact(text: str) -> str:
    """`text` without any secret that this process has revealed."""
    with _lock:
        known = sorted(_secrets, key=len, reverse=True)
    for secret in known:
        if secret in text:
            text = text.replace(secret, "***")
    return text


class RedactingFilter(logging.Filter):
    """A last net below our own care: no log record carries a secret that we revealed."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, None
        return True
