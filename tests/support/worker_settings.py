"""Settings of worker processes that a test starts: the product's, and the kinds of the tests."""

import os

from phpborg.settings import *  # noqa: F403
from phpborg.settings import INSTALLED_APPS as PRODUCT

INSTALLED_APPS = [*PRODUCT, "tests.support.kinds", *filter(None, os.environ.get("PHPBORG_TEST_APPS", "").split(","))]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
ALLOWED_HOSTS = ["*"]
