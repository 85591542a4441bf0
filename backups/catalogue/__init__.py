"""The catalogue: which files lie in which archive of a repository, and in which form, without asking Borg.

One SQLite file for each repository, outside the product's database: it may be thrown away at any time and is filled
anew from the archives. A file is written down once, and each of its forms once, however many archives hold it:

    lane      a row of archives that follow one another, as the runs of one job do; `ordinal` counts within it
    file      a name in a folder; folders are files, too, and the one above all is 0
    version   one form of a file (kind, size, time, owner, mode), from `first` to `last` ordinal; `last` NULL: up to now
    folder    how many entries a folder has and how large they are, in the same way

An archive is readable here when its row says that it is whole. Until then, and for those that are missing, pages look
into the archive itself.
"""
