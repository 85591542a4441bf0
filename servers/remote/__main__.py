"""`python3 -I phpborg-remote` (the zipped program) and `python3 -m servers.remote` (its sources)."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
