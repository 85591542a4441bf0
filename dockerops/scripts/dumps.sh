# Dumps of databases are loaded by phpBorg's worker alone. See script.py.

# NAME…: said before anything is touched.
refuse_dumps() {
    die "This script cannot load the dump of $*: nothing was changed. Restore in phpBorg, or choose there that the volume comes back as it lay, and make a new script."
}

load_dump() {
    refuse_dumps "$1"
}
