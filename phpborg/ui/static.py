"""Static files: hashed names, compressed, and a missing one is an error at once."""

from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.storage import HashedFilesMixin
from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStorage(CompressedManifestStaticFilesStorage):
    """A file that a template names but nobody collected stops the page instead of being a dead link."""

    manifest_strict = True
    # Our modules import each other by name: those names get their hashes too. Only ours: Django reads
    # `import("…")` in the comments of other packages' scripts as files that are missing.
    support_js_module_import_aggregation = True
    _js_module_import_aggregation_patterns: Any = (
        "js/*.js",
        HashedFilesMixin._js_module_import_aggregation_patterns[1],  # type: ignore[attr-defined]
    )
