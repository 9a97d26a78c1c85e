"""The shop of `loopback_shop` for all tests of this room."""

from loopback_shop import *  # noqa: F403
