"""Where dumps go: one file an engine. `loading.py` moves the bytes and asks these what to start and what is there."""
