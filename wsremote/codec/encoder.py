"""One value, one payload: lower, then lend and pickle, then pack.

If the session refuses to lend a value, what the payload has lent so far is taken back,
and the error names where the value sits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import EncodeError
from . import pickling, tags
from .graph import GraphLowering
from .location import locate
from .lowering import Lowering, Pending, Refusal, Terms, TooDeep
from .nesting import forms
from .ownership import own
from .packing import Buffer, pack, pack_tagged

__all__ = ["encode", "is_too_deep"]


def is_too_deep(value: object, terms: Terms) -> bool:
    """Whether a value is nested too deep to be encoded, alone."""
    try:
        _lower(value, terms)
    except Refusal:
        return False
    except EncodeError:
        return True
    return False


def encode(
    value: object,
    terms: Terms,
    *,
    where: Callable[[object], str] | None = None,
    lenient: bool = False,
    lends: list[int] | None = None,
) -> tuple[bytes, list[Buffer]]:
    """The payload of `value`, and its out-of-band buffers.

    Args:
        value: Anything.
        terms: What holds for this payload.
        where: Names the place of a part of `value`, for errors.
        lenient: Whether a part that cannot travel is replaced by its text.
        lends: Gets the handles that the payload brings, once each: who does not send it takes
            them back.

    Raises:
        EncodeError: A part of the value cannot travel, or it is nested too deep.
        TooLarge: It is larger than the terms allow.
    """
    try:
        lowering, lowered = _lower(value, terms)
        if lowering.is_plain and (payload := pack(lowered)) is not None:
            lowering.take(len(payload))
            return payload, lowering.buffers
        lent: list[int] = []
        try:
            _settle(lowering, lent, lenient)
            payload = pack_tagged(lowered)
            lowering.take(len(payload))
        except BaseException:
            for handle in lent:
                lowering.exchange.unlend(handle)
            raise
        if lends is not None:
            lends += lent
        return payload, lowering.buffers
    except Refusal as refusal:
        place = where(refusal.value) if where else locate(value, refusal.value)
        raise EncodeError(f"{place}: {refusal}" if place else str(refusal)) from None
    except (RuntimeError, ValueError) as error:
        # "dictionary changed size during iteration": by another thread.
        raise EncodeError(f"the value cannot be written: {error}") from error


def _lower(value: object, terms: Terms) -> tuple[Lowering, Any]:
    """The value as a tree, or as a graph if it is no tree."""
    shared: set[int] | None
    tree = Lowering(terms)
    try:
        lowered = tree.lower(value)
        shared = tree.shared
        if not shared:
            return tree, lowered
    except (TooDeep, RecursionError):
        shared = None
    graph = GraphLowering(terms, shared)
    try:
        return graph, graph.lower_graph(value)
    except (TooDeep, RecursionError):
        raise EncodeError(
            f"the value is nested more than {tags.MAX_DEPTH} levels deep in tuples or sets; "
            "lists and dicts may nest to any depth"
        ) from None


def _settle(lowering: Lowering, lent: list[int], lenient: bool) -> None:
    """Finish what was noted: pickle, then lend. What was lent is taken back by the caller."""
    for body, value, _, shared in lowering.to_pickle:
        try:
            data, parts = pickling.dump(value)
        except EncodeError:
            body[:] = [tags.OURS]
            lowering.to_lend.append(Pending(body, value, required=True))
            continue
        for part in parts:
            lowering.expect(part.nbytes)
        body.append(lowering.buffer(data, tags.BULK_LIMIT))
        body.append([lowering.buffer(own(part) if shared else part) for part in parts])
        lowering.to_lend.append(Pending(body, value, required=False))
    for pending in lowering.to_lend:
        _lend(lowering, pending, lent, lenient)


def _lend(lowering: Lowering, pending: Pending, lent: list[int], lenient: bool) -> None:
    """Give one tagged value its handle and class number."""
    body, value, required, content = pending
    if body[0] == tags.EXCEPTION:
        try:
            body.append(forms.write(value, lowering.exchange, lowering.inside))  # type: ignore[arg-type]
        except EncodeError:
            body[:] = [tags.UNSENT, pickling.text_of(value)]
        return
    if body[0] == tags.CLASS:
        # For the whole session: nothing to take back.
        body += lowering.exchange.lend_class(value)  # type: ignore[arg-type]
        return
    try:
        if content is None:
            fields: tuple[int, ...] = lowering.exchange.lend(value)
        else:
            fields = lowering.exchange.lend_mirrored(value, content)
    except EncodeError as error:
        if not required:
            body += (None, None)
        elif lenient:
            body[:] = [tags.UNSENT, pickling.text_of(value)]
        else:
            raise Refusal(value, str(error)) from None
    else:
        lent.append(fields[0])
        body += fields
