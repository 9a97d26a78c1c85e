"""The table of messages."""

from __future__ import annotations

import typing

from wsremote.protocol.messages import NUMBERED, NUMBERS, SHAPES, TYPES, Exec, Message, Result


def test_every_message_has_one_number_and_shapes() -> None:
    """A message class that is not in the tables could be sent and not be read."""
    assert set(TYPES.values()) == set(typing.get_args(Message))
    assert len(NUMBERS) == len(TYPES) == len(SHAPES)


def test_numbered_messages_begin_with_seq_and_ack() -> None:
    """The sequence reads the first two fields of any of them."""
    for cls in NUMBERED:
        assert cls._fields[:2] == ("seq", "ack")


def test_shapes_cover_the_optional_fields() -> None:
    """None is accepted where the annotation says so, and nowhere else."""
    number = NUMBERS[Exec]
    fields = Exec(1, 0, 1, 1, None, 0, "m:f", None, b"", None)
    assert tuple(map(type, fields)) in SHAPES[number]
    assert tuple(map(type, fields._replace(parent=3, target=7, name="x"))) in SHAPES[number]
    wrong = typing.cast("Exec", fields._replace(payload=typing.cast("bytes", None)))
    assert tuple(map(type, wrong)) not in SHAPES[number]
    assert (int, int, int, bytes, type(None), type(None)) in SHAPES[NUMBERS[Result]]
