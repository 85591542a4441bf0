"""The only room that knows borg (1.2 and 1.4).

`argv` builds command lines, `events` reads what borg says, `report` collects it, `outcome` judges it,
`repository` works on a repository of this host, `view` reads one without its lock.
"""
