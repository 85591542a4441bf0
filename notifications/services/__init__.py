"""Use cases of telling people."""
