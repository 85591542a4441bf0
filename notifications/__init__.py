"""Telling people: mail settings and the mail after a failure."""
