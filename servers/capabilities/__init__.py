"""What a server is, has and runs: its report read, its volumes understood. Pure: nothing is asked here.

`reading.py` takes a stranger's JSON into dataclasses, `report.py` says which, `volumes.py` finds the volume of
a path, `advice.py` says whether it can be frozen and how large that must be, `cards.py` is what a page shows.
The shape of a report is in docs/capabilities.md.
"""
