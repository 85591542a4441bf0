"""Kinds of task that only the tests have; an app, so that worker processes know them too."""
