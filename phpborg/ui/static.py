"""Static files: hashed names, compressed, and a missing one is an error at once."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStorage(CompressedManifestStaticFilesStorage):
    """A file that a template names but nobody collected stops the page instead of being a dead link."""

    manifest_strict = True
    # Modules import each other by name: those names get their hashes too.
    support_js_module_import_aggregation = True
