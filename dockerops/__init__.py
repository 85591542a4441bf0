"""Docker: no row of it is built yet; the room is kept for it."""
