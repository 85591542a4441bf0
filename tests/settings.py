"""Settings of the tests: the product's own, on a private directory that is made for this run."""

import os
import tempfile
from pathlib import Path

_ROOT = Path(os.environ.setdefault("PHPBORG_TEST_ROOT", tempfile.mkdtemp(prefix="phpborg-test-")))
os.environ.setdefault("SECRET_KEY", "only-for-the-tests")
os.environ.setdefault("PHPBORG_VAR", str(_ROOT / "var"))
os.environ.setdefault("PHPBORG_TIME_ZONE", "Europe/Paris")
(_ROOT / "var").mkdir(mode=0o700, parents=True, exist_ok=True)
(_ROOT / "var/static").mkdir(exist_ok=True)

from phpborg.crypto import create_key_file  # noqa: E402
from phpborg.settings import *  # noqa: E402,F403
from phpborg.settings import ENCRYPTION_KEY_FILE, VAR_DIR  # noqa: E402

create_key_file(ENCRYPTION_KEY_FILE)
DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}  # type: ignore[name-defined]  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
ALLOWED_HOSTS = ["*"]
