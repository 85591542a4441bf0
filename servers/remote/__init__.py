"""The small program that does everything that happens on a server.

It is zipped into one executable (`servers/remote/build.py`), reads one request from its standard
input and knows a closed set of verbs. Standard library only, Python 3.6 and newer, so that it runs
on every server that can run borg. Everything that comes in is distrusted: with sudo this program is
the border between an unprivileged account and root.
"""

PROTOCOL = 1
# The build replaces this by the hash of the sources.
VERSION = "source"
