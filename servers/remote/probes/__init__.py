"""What a server is, has and runs: one file a probe, each with `probe(look: base.Look) -> Dict[str, Any]`.

A probe only looks. It answers plain JSON values in the shape that docs/capabilities.md gives; what it cannot
tell is None, with the reason beside it where a person can do something about it.
"""

# Everything that `capabilities` knows to ask; also the order in which people read it.
NAMES = (
    "system",
    "mounts",
    "lvm",
    "btrfs",
    "zfs",
    "postgresql",
    "mysql",
    "mongodb",
    "elasticsearch",
    "redis",
    "docker",
)
