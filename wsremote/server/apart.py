"""Large answers to a client of tasks: each leaves in a thread of its own.

All tasks of an event loop are one lane. Were that to send a gigabyte, small calls of the other
tasks would wait behind it; at home only the task waits that wants it. A client thread waits for its
answer itself: its lane sends with no other thread involved.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..codec.values import Buffer
    from ..protocol.messages import Exec

__all__ = ["LARGE", "Apart", "LargeAnswer", "Made", "Travelling"]

logger = logging.getLogger("wsremote.server")

LARGE: Final = 256 * 1024
"""Bytes of buffers from which a thread is worth its start: 0.1 ms, in which as much is sent."""

_MOST: Final = 16
_MOST_BYTES: Final = 32 * 1024 * 1024
"""Answers of a session at once, and bytes of them if it is not one alone. The lane sends the next:
what it would make meanwhile is memory."""


class Made(NamedTuple):
    """A result as it travels.

    Attributes:
        payload, buffers: As `Encoded` has them.
        lends: Handles that it brings the client, once each.
    """

    payload: bytes
    buffers: Sequence[Buffer]
    lends: Sequence[int] = ()


@dataclass(slots=True, eq=False)
class Travelling:
    """An answer with buffers, from their beginning until the client has acknowledged it.

    Attributes:
        size: Bytes of the buffers.
        answer: The number of its message, or of a later one; infinite until that is sent.
    """

    size: int
    answer: float = math.inf


@dataclass(slots=True, eq=False)
class LargeAnswer:
    """What stands in an answer for its buffers, until they are sent.

    Attributes:
        message: Of the call.
        made: Its result.
        size: Bytes of the buffers of that.
        transfers: Those of which the sending has begun.
        is_cancelled: Whether the client wants it no longer.
    """

    message: Exec
    made: Made
    size: int
    transfers: list[int] = field(default_factory=list)
    is_cancelled: bool = False


class Apart:
    """Threads that send.

    Args:
        name: Of the threads.

    Attributes:
        leaving: What they send, by call.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.leaving: dict[int, LargeAnswer] = {}

    def start(self, answer: LargeAnswer, send: Callable[[], None]) -> bool:
        """Send an answer in a thread of its own. False if there is none for it.

        Args:
            answer: Which.
            send: Does it, and is to raise nothing.
        """
        call = answer.message.call
        under_way = list(self.leaving.values())
        if under_way and (
            len(under_way) >= _MOST
            or sum(each.size for each in under_way) + answer.size > _MOST_BYTES
        ):
            return False
        self.leaving[call] = answer
        run = threading.Thread(target=self._run, args=(call, send), name=self._name, daemon=True)
        try:
            run.start()
        except RuntimeError as error:  # the system has no more threads
            logger.warning("! an answer is sent by its lane: %s", error)
            del self.leaving[call]
            return False
        return True

    def _run(self, call: int, send: Callable[[], None]) -> None:
        try:
            send()
        except Exception:
            logger.exception("! in a thread that sends an answer")
        finally:
            del self.leaving[call]
