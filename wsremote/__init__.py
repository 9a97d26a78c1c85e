"""Use any Python package installed on another machine as if it were installed here.

On that machine: `wsremote serve pandas`. Here, where pandas is not installed::

    import wsremote

    session = wsremote.connect("ws://127.0.0.1:9090", token="…")
    session.install()

    import pandas as pd

    df = pd.DataFrame({"a": [1, 2, 3]})
    print(df["a"] + 1)

Objects live on the server; plain data travels by value. `docs/semantics.md` says how.
"""

from __future__ import annotations

from . import errors
from .api import connect
from .client.session import Session
from .codec.markers import inout, ref, ship
from .errors import *  # noqa: F403 - errors.__all__ is the list, and is part of ours
from .tree.info import InfoTree
from .version import __version__

__all__ = [
    "InfoTree",
    "Session",
    "__version__",
    "connect",
    "inout",
    "ref",
    "ship",
    *errors.__all__,
]
