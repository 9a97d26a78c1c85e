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
from .api import connect, connect_async, servers
from .client.async_session import AsyncSession
from .client.progress import Progress
from .client.session import Session
from .codec.markers import inout, ref, ship
from .errors import *  # noqa: F403 - errors.__all__ is the list, and is part of ours
from .naming.information import ServerInfo
from .streaming.ahead import ahead
from .tree.info import InfoTree
from .version import __version__

__all__ = [
    "AsyncSession",
    "InfoTree",
    "Progress",
    "ServerInfo",
    "Session",
    "__version__",
    "ahead",
    "connect",
    "connect_async",
    "inout",
    "ref",
    "servers",
    "ship",
    *errors.__all__,
]
