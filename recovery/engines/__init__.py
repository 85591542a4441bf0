"""Which database lies in an archive, read from its own files, and how a server is started on them. Pure: no process."""
