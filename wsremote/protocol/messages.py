"""What is said: one class a message, and what the fields may be.

On the wire a message is one msgpack array: its type number, then its fields in
the order written here. `docs/protocol.md` has the same on one page.

Fields that every numbered message starts with:

* `seq`: position in the numbered messages of its direction, from 1, without gaps.
* `ack`: the highest `seq` received from the other side.

Payloads are bytes that only `codec/` reads. A payload that refers to buffers is
preceded by them, as `Chunk`s of transfers that the message lists.
"""

from __future__ import annotations

import enum
import itertools
import types
import typing
from typing import Any, Final, NamedTuple

__all__ = [
    "AWAIT",
    "KEEP",
    "LEAST_BOUND",
    "NUMBERED",
    "NUMBERS",
    "POOL",
    "PROTOCOL_VERSION",
    "QUIET",
    "SHAPES",
    "SHUTDOWN",
    "SMALL_EXEC",
    "SMALL_RESULT",
    "TYPES",
    "Ack",
    "Batch",
    "Bye",
    "Cancel",
    "Cancelling",
    "Challenge",
    "Changes",
    "Chunk",
    "ClassInfo",
    "Exec",
    "Fault",
    "Fetch",
    "Gone",
    "Hello",
    "Leave",
    "Message",
    "Modules",
    "Numbered",
    "Op",
    "Open",
    "Output",
    "Ping",
    "Pong",
    "Refused",
    "Release",
    "Replaced",
    "Result",
    "Results",
    "Resume",
    "Resumed",
    "Target",
    "Unread",
    "Warned",
    "Welcome",
]

PROTOCOL_VERSION: Final = 1

SHUTDOWN: Final = "the server is shutting down"
"""The reason of the `Bye` of a server that ends."""

Target = str | int
"""What an exec message is about: a handle, or a name of the tree (`pkg.mod:C`, `pkg.mod`)."""


class Op(enum.IntEnum):
    """What an exec message does with its target. The payload holds `(args, kwargs)`."""

    CALL = 0  # target(*args, **kwargs): a function, a class, a callable object
    METHOD = 1  # target.name(*args, **kwargs)
    GET = 2  # target.name
    SET = 3  # target.name = args[0]
    DELETE = 4  # del target.name
    SPECIAL = 5  # the special method `name` (of protocol/specials.py) of the target
    DEFINE = 6  # a class derived from the server's; of the target: one name of its body again
    INHERITED = 7  # super(...).name as the target class, its own attribute included, has it
    REFRESH = 8  # the target is mirrored: send what has changed in it, all of it if `whole`
    BROWSE = 10  # what a served module holds beside its attributes: `name` says what of it
    LOAD = 9  # args[0]: a pickle that the special method `__reduce_ex__` of an object gave
    PULL = 11  # next(target), up to args[0] times: `protocol.pulling` says what that gives
    ASK = 12  # the value that was kept of a call, negated; of 0, None, when all before is done


AWAIT: Final = 32
"""Added to an `Op`: what the operation gives is awaited, and the answer is what comes of that."""

KEEP: Final = 64
"""Added to an `Op`: the value is kept, and not sent; only an error is. Until it is released, the
call's number, negated, is a handle of it, for targets, arguments and `ASK`."""

QUIET: Final = 128
"""Added to an `Op`: no answer either, unless it is an error, and the value is not kept."""

POOL: Final = 0
"""The lane of calls that any thread of the session may run, in no order."""


class Hello(NamedTuple):
    """Client, first on a connection: which versions, which token, a nonce."""

    oldest: int
    newest: int
    key_id: str
    nonce: bytes


class Challenge(NamedTuple):
    """Server, in answer: the version chosen, and the proof that it knows the token."""

    version: int
    nonce: bytes
    epoch: bytes
    proof: bytes


class Refused(NamedTuple):
    """Server, instead of `Challenge` or `Welcome`: no session, and why. Then it closes."""

    code: str
    text: str


class Open(NamedTuple):
    """Client: its own proof, and a session please.

    `open_nonce` makes it idempotent, `attach` counts the client's connection attempts,
    `tree` is the digest of the tree the client has ("" for none), `installed` the root
    packages of the data type registry that the client can import, `client` describes it.
    """

    proof: bytes
    open_nonce: bytes
    attach: int
    tree: str
    installed: dict[str, str]
    client: dict[str, Any]


class Welcome(NamedTuple):
    """Server: the session. `index` is None if the tree is the one the client has.

    `limits` names every bound with its value, `secret` will prove a resume.
    """

    session: str
    secret: bytes
    tree: str
    modules: dict[str, Any] | None
    limits: dict[str, int]
    server: dict[str, Any]


class Resume(NamedTuple):
    """Client, instead of `Open`: the same session again, over this connection.

    `secret_proof` proves that it is the client that was welcomed. `attach` is above that of
    every attempt before. `received` is the highest `seq` it has, `transfers` the bytes it has
    of each buffer that no message has claimed: `[transfer, bytes]`.
    """

    proof: bytes
    session: str
    secret_proof: bytes
    attach: int
    received: int
    transfers: list[list[int]]
    client: dict[str, Any]


class Resumed(NamedTuple):
    """Server, in answer: the session goes on. `received` and `transfers` as above.

    `proof` is that of the session's secret over them. `detached` is how long there was no
    connection, in milliseconds.
    """

    proof: bytes
    received: int
    transfers: list[list[int]]
    detached: int


class Gone(NamedTuple):
    """Server, instead of `Resumed`: there is no such session any more.

    `why` is one of the words of `docs/protocol.md`, `text` says it to the user. `received` is
    the highest `seq` that it had admitted, and `executed` the calls among those that have
    ended without the client's knowing; `started` those that had begun and not ended. None
    where the server does not know.
    """

    why: str
    text: str
    received: int | None
    executed: list[int] | None
    started: list[int] | None


class Fetch(NamedTuple):
    """Client: the documents of these modules, please (digests).

    Unnumbered, as its answer is: both are about constants.
    """

    digests: list[str]


class Modules(NamedTuple):
    """Server: module documents by digest, as one zlib stream of a msgpack map."""

    documents: bytes


class Exec(NamedTuple):
    """Do something with a target. From the client, or from the server to call a client object.

    `call` identifies it for its sender: never reused. `lane` is the thread of control whose
    calls run in order; negated if an event loop of the client runs in that thread now. `parent`
    is the other side's call it is nested in, or None.
    """

    seq: int
    ack: int
    call: int
    lane: int
    parent: int | None
    op: int
    target: Target
    name: str | None
    payload: bytes
    transfers: list[int] | None


class Result(NamedTuple):
    """A call's value. `changes` holds what the call changed in its container arguments."""

    seq: int
    ack: int
    call: int
    payload: bytes
    changes: bytes | None
    transfers: list[int] | None


class Fault(NamedTuple):
    """A call's exception. `executed` is False if no code of the target has run."""

    seq: int
    ack: int
    call: int
    executed: bool
    payload: bytes
    changes: bytes | None


class Output(NamedTuple):
    """What a call has printed: stream 1 (stdout) or 2 (stderr), raw."""

    seq: int
    ack: int
    call: int
    stream: int
    text: str


class Warned(NamedTuple):
    """A warning that was raised in a call; `codec.warned` knows the payload."""

    seq: int
    ack: int
    call: int
    payload: bytes


class Batch(NamedTuple):
    """Client: several calls of one lane, each as an `Exec` without buffers would be.

    `calls` lists `[call, op, target, name, arguments]` each. Arguments are a list of plain scalars,
    or the payload that an `Exec` would have; or a list of such lists, for as many calls of
    consecutive numbers.
    """

    seq: int
    ack: int
    lane: int
    parent: int | None
    calls: list[Any]


class Results(NamedTuple):
    """Server: what several calls gave, each a value that is written as msgpack writes it.

    `payload` is a plain payload, `[call, [value, ...], call, [value, ...], ...]`: the values of
    a call and those that follow it by their numbers.
    """

    seq: int
    ack: int
    payload: bytes


class Unread(NamedTuple):
    """So many items have been used of an iterator: those that came behind them come again."""

    seq: int
    ack: int
    handle: int
    used: int


class ClassInfo(NamedTuple):
    """Before the first handle of a class: the number it has in this session.

    `node` is None if the class is in the tree under `path`, else its JSON document. `handle`
    is the sender's of the class itself, lent for the whole session, so that it can be a target;
    None if the other side may hold objects of the class and not use the class.
    """

    seq: int
    ack: int
    number: int
    path: str
    node: bytes | None
    handle: int | None


class Changes(NamedTuple):
    """Server: what has changed in containers that the client mirrors.

    `document` is a payload, `(version, (handle, change...), ...)`; see docs/protocol.md.
    """

    seq: int
    ack: int
    document: bytes


class Release(NamedTuple):
    """Handles that this side no longer holds: `[handle, times received]` each.

    Below zero, with a count: what that call of a pipeline gave, and the calls that follow it.
    """

    seq: int
    ack: int
    handles: list[list[int]]


class Cancel(NamedTuple):
    """End a call of mine: not started if queued, interrupted if running."""

    seq: int
    ack: int
    call: int


class Cancelling(NamedTuple):
    """What I run for a call of yours that you await is told that it is cancelled.

    It precedes the answer. A cancel that it does not count came when the call had ended.

    Attributes:
        times: How often it has been told by now.
    """

    seq: int
    ack: int
    call: int
    times: int


class Leave(NamedTuple):
    """The thread of a lane of mine has ended: what waits in it still runs, and nothing follows."""

    seq: int
    ack: int
    lane: int


class Chunk(NamedTuple):
    """A piece of a buffer, before the message that lists its transfer."""

    transfer: int
    total: int
    offset: int
    data: bytes


class Ack(NamedTuple):
    """A received `seq`, when no numbered message has carried it for a while."""

    ack: int


class Ping(NamedTuple):
    """Are you there? `token` comes back."""

    token: int
    ack: int


class Pong(NamedTuple):
    """I am."""

    token: int
    ack: int


class Replaced(NamedTuple):
    """Server: another connection carries the session now, of the client that `by` describes."""

    by: dict[str, Any]


class Bye(NamedTuple):
    """The session ends now, and why. What it holds is freed."""

    reason: str


Message = (
    Hello
    | Challenge
    | Refused
    | Open
    | Welcome
    | Resume
    | Resumed
    | Gone
    | Fetch
    | Modules
    | Exec
    | Result
    | Fault
    | Output
    | Warned
    | ClassInfo
    | Changes
    | Release
    | Cancel
    | Cancelling
    | Leave
    | Batch
    | Results
    | Unread
    | Chunk
    | Ack
    | Ping
    | Pong
    | Replaced
    | Bye
)

Numbered = (
    Exec
    | Result
    | Fault
    | Output
    | Warned
    | ClassInfo
    | Changes
    | Release
    | Cancel
    | Cancelling
    | Leave
    | Batch
    | Results
    | Unread
)
"""The messages that change a session's state; each has its place in the sequence."""

NUMBERED: Final = typing.get_args(Numbered)

# The number of each type on the wire. Numbers are never given again.
TYPES: Final[dict[int, type[Message]]] = {
    1: Hello,
    2: Challenge,
    3: Refused,
    4: Open,
    5: Welcome,
    6: Fetch,
    7: Modules,
    8: Resume,
    9: Resumed,
    10: Gone,
    16: Exec,
    17: Result,
    18: Fault,
    19: Output,
    20: ClassInfo,
    21: Release,
    22: Cancel,
    23: Warned,
    24: Leave,
    25: Changes,
    26: Batch,
    27: Results,
    28: Unread,
    31: Cancelling,
    32: Chunk,
    33: Ack,
    34: Ping,
    35: Pong,
    36: Bye,
    37: Replaced,
}
NUMBERS: Final[dict[type[Message], int]] = {cls: number for number, cls in TYPES.items()}

SMALL_EXEC: Final = 29
"""The short form of an `Exec` of scalars alone: `seq, ack, call, lane, op, target, name`, and then
the arguments themselves. It is read as the `Exec` that it stands for."""

SMALL_RESULT: Final = 30
"""The short form of a `Result` that is a scalar, or a few of them in lists and dicts: `seq, ack,
call, value`. It is read as that `Result`."""


LEAST_BOUND: Final = 16 * 1024
"""Bytes that a client takes of a result at least, whatever bounds it sets: fewer are as many as a
handle and a preview in their place."""


def _shapes(cls: type[Message]) -> frozenset[tuple[type, ...]]:
    """Every tuple of exact types that the fields of a message may have."""
    choices = []
    for hint in typing.get_type_hints(cls).values():
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        choices.append([typing.get_origin(option) or option for option in options])
    return frozenset(itertools.product(*choices))


SHAPES: Final[dict[int, frozenset[tuple[type, ...]]]] = {
    number: _shapes(cls) for number, cls in TYPES.items()
}
"""For each type number, the exact field types that are accepted: one set look-up a message."""
