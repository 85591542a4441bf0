# shellcheck shell=sh
# The program without a cluster: containers bring their data directory.
pg_dropcluster 15 main
