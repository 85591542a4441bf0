"""Use cases of browsing, downloading and restoring."""
