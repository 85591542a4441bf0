"""Servers that we back up: how we reach them, what they are."""
