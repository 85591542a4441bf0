"""Pages of the servers: fleet, add, server, removal."""
