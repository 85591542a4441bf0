"""A block-level copy-on-write filesystem: database engines write to it, the archive below never changes.

PostgreSQL opens every file read-write even to read it, so an overlay by file copies each one; here only the 64 KiB
blocks that are really written are stored. From the outside in:
    __main__  the process: argv, mount, signals            status   asks it how it is
    fuse      requests of the kernel → calls of the store   wire     the kernel's messages, mount(2)
    store     the tree: names, attributes; the upper's format is described there
    files     files in use, durability                      content  the blocks of one file
    lower     the read-only tree                            record   SQLite          node  one entry

It speaks the kernel's protocol itself, with the standard library alone, so that it also runs on a server that has only
Python 3.7 (as root: mount(2) and /dev/fuse; no libfuse, no fusermount). The libraries were weighed: pyfuse3 on PyPI
needs a compiler. mfusepy (ctypes over libfuse's path interface) reads about as fast, but there an open file that is
removed becomes a hidden name, several names of one file are several nodes, and its structures have to follow each
libfuse. A read costs one readv, one preadv and one writev here.
"""
