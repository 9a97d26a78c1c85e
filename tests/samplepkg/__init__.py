"""One of every shape that Python has, for the tests of all floors.

Importing it has no side effect. `samplepkg.faulty` holds what cannot be imported.
"""

import json as json_module
from functools import wraps

from . import constants, functions  # noqa: F401
from ._impl import Engine, _private_helper, build
from ._impl import Engine as Motor
from .classes import Account
from .constants import ANSWER
from .errors import PackageError
from .functions import add

__version__ = "1.2.3"
__all__ = [
    "ANSWER",
    "Account",
    "Engine",
    "Motor",
    "PackageError",
    "_private_helper",
    "add",
    "build",
    "constants",
    "json_module",
    "plus",
]

plus = add


@wraps(add)
def not_exported(*args, **kwargs):
    """Public, though `__all__` does not have it."""
    return add(*args, **kwargs)
