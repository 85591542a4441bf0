"""The laboratory: real engines, servers and disks for tests, on 127.0.0.0/8 or inside containers.

`cache.py` keeps what takes long to make outside the checkout; each other file makes one part, started and
ended by `script/lab` or by the test that asks for it (`conftest.py`).
"""
