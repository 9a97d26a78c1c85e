"""`python -m wsremote`, the same as `wsremote`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
