"""`python -m nameserver`, the same as `wsremote nameserver`."""

from __future__ import annotations

import sys

from wsremote.cli import main

if __name__ == "__main__":
    main(["nameserver", *sys.argv[1:]])
