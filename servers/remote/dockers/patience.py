"""How long a restore waits for containers: the helper, the plans that are made for it, and their scripts."""

# A database that is given the engine's own ten seconds to end is often killed by them.
STOP_SECONDS = 60
# So long the same run lasts before one without a health check is believed to keep running.
STEADY_SECONDS = 3
# No longer for one that is to become well.
MOST_SECONDS = 4 * 3600
