"""What the code of a generator can still do, from where it stands, as far as it is harmless."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from dis import Instruction
from types import CodeType
from typing import Final, NamedTuple

__all__ = ["Facts", "facts_of"]


class Facts(NamedTuple):
    """Of harmless code.

    Attributes:
        names: Global names that it uses: of builtins, if they are these.
        constants: The types of its constants.
        growths: Operations in it whose value may be twice as large as their operands.
        products: Those of them that are so for numbers too.
        formats: Whether there is a `%` in it, which formats text.
        gives: Whether it may give something with its end.
    """

    names: frozenset[str]
    constants: frozenset[type]
    growths: int
    products: int
    formats: bool
    gives: bool


_JUMPS: Final = frozenset(["JUMP_FORWARD", "JUMP_BACKWARD"])
_ENDS: Final = frozenset(["RETURN_VALUE", "RETURN_CONST"])
# Of Python 3.11 to 3.13; an opcode that is not here is not harmless.
_HARMLESS: Final = (
    frozenset(
        [
            *("RESUME", "NOP", "CACHE", "EXTENDED_ARG", "POP_TOP", "COPY", "SWAP", "PUSH_NULL"),
            *("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_LOAD_FAST", "STORE_FAST", "DELETE_FAST"),
            *("STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST", "LOAD_CONST", "LOAD_GLOBAL"),
            *("BINARY_OP", "UNARY_NEGATIVE", "UNARY_NOT", "UNARY_POSITIVE"),
            *("COMPARE_OP", "IS_OP", "CONTAINS_OP", "TO_BOOL", "BINARY_SUBSCR", "BINARY_SLICE"),
            *("BUILD_SLICE", "BUILD_TUPLE", "UNPACK_SEQUENCE", "FORMAT_VALUE", "FORMAT_SIMPLE"),
            *("CONVERT_VALUE", "BUILD_STRING", "GET_ITER", "FOR_ITER", "END_FOR", "POP_ITER"),
            *("YIELD_VALUE", "PRECALL", "CALL"),
            *("POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE", "POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE"),
            *("POP_JUMP_FORWARD_IF_FALSE", "POP_JUMP_FORWARD_IF_TRUE"),
            *("POP_JUMP_BACKWARD_IF_FALSE", "POP_JUMP_BACKWARD_IF_TRUE"),
            *("POP_JUMP_FORWARD_IF_NONE", "POP_JUMP_FORWARD_IF_NOT_NONE"),
            *("POP_JUMP_BACKWARD_IF_NONE", "POP_JUMP_BACKWARD_IF_NOT_NONE"),
            *("JUMP_IF_FALSE_OR_POP", "JUMP_IF_TRUE_OR_POP"),
        ]
    )
    | _JUMPS
    | _ENDS
)
# `yield from` is not among them: what is sent to it goes on to the iterator that it goes through.
# Powers and left shifts are left out: one of them can take for ever.
_ARITHMETIC: Final = frozenset(["+", "-", "*", "//", "/", "%", "&", "|", "^", ">>"])
_BUILDING: Final = frozenset(["BUILD_STRING", "BUILD_TUPLE", "FORMAT_VALUE", "FORMAT_SIMPLE"])
_FUNCTIONS: Final = frozenset(
    [
        *("range", "enumerate", "zip", "len", "abs", "divmod", "int", "float", "bool", "str"),
        *("ord", "chr", "hex", "oct", "bin", "round", "min", "max"),
    ]
)
# Takes the arguments from the stack; in Python 3.11 the call itself comes right behind.
_CALL: Final = "PRECALL" if "PRECALL" in dis.opmap else "CALL"
_MAKE_ITERATORS: Final = frozenset(["enumerate", "zip"])
_OF_SEVERAL: Final = frozenset(["min", "max"])


@functools.lru_cache(maxsize=1024)
def facts_of(code: CodeType, last: int) -> Facts | None:
    """What the code does after an instruction; None if it is not known to be harmless.

    Args:
        code: Of a generator.
        last: Offset of the last instruction that has run, in bytes.
    """
    program = list(dis.get_instructions(code))
    places = {instruction.offset: index for index, instruction in enumerate(program)}
    first = next((i for i, each in enumerate(program) if each.offset > last), None)
    if first is None:
        return None
    # From Python 3.13 on a generator stands at what comes behind its `yield`.
    if not all(_is_quiet(program, index) for index in range(max(0, first - 2), first)):
        return None
    following = {index: list(_next(program, index, places)) for index in range(len(program))}
    reached: set[int] = set()
    pending = [first]
    while pending:
        index = pending.pop()
        if index not in reached:
            reached.add(index)
            if not _is_harmless(program, index):
                return None
            pending += following[index]
    if _is_guarded(code, program, reached, places) or _loops(program, reached, following):
        return None
    run = [program[index] for index in sorted(reached)]
    operations = [each.argrepr.removesuffix("=") for each in run if each.opname == "BINARY_OP"]
    constants = {type(each.argval) for each in run if each.opname in ("LOAD_CONST", "RETURN_CONST")}
    names = frozenset(each.argval for each in run if each.opname == "LOAD_GLOBAL")
    building = sum(each.opname in _BUILDING for each in run)
    products = operations.count("*")
    return Facts(
        names,
        frozenset(constants),
        products + operations.count("+") + building,
        products,
        "%" in operations,
        any(_gives(program, index) for index in reached),
    )


def _next(program: list[Instruction], index: int, places: dict[int, int]) -> Iterator[int]:
    """Where the code may go on after an instruction."""
    instruction = program[index]
    name = instruction.opname
    if name in _ENDS:
        return
    if name not in _JUMPS and index + 1 < len(program):
        yield index + 1
    if name in _JUMPS or "JUMP" in name or name == "FOR_ITER":
        yield places[instruction.argval]


def _is_harmless(program: list[Instruction], index: int) -> bool:
    """Whether an instruction does what nobody can see."""
    instruction = program[index]
    name = instruction.opname
    if name not in _HARMLESS:
        return False
    after = [each.opname for each in program[index + 1 : index + 3]]
    if name == "BINARY_OP":
        return instruction.argrepr.removesuffix("=") in _ARITHMETIC
    if name == "YIELD_VALUE":
        return _is_quiet(program, index)
    if name == "GET_ITER":
        # Nobody but the loop gets hold of the iterator.
        return after[:1] == ["FOR_ITER"]
    if name == "CONTAINS_OP":
        # In a range it may be a search.
        return index > 0 and program[index - 1].opname == "LOAD_CONST"
    if name in ("FORMAT_VALUE", "FORMAT_SIMPLE"):
        return not (instruction.arg or 0) & 4  # no width
    if name == "LOAD_GLOBAL":
        return instruction.argval in _FUNCTIONS and _is_called(program, index)
    if name in ("LOAD_CONST", "RETURN_CONST"):
        return _is_constant(instruction.argval)
    return True


def _gives(program: list[Instruction], index: int) -> bool:
    """Whether an instruction ends the code with anything but None."""
    name = program[index].opname
    if name == "RETURN_CONST":
        return program[index].argval is not None
    if name != "RETURN_VALUE":
        return False
    before = program[index - 1]
    return before.opname != "LOAD_CONST" or before.argval is not None


def _is_quiet(program: list[Instruction], index: int) -> bool:
    """Whether an instruction is no `yield` whose value the code uses."""
    if program[index].opname != "YIELD_VALUE":
        return True
    after = [each.opname for each in program[index + 1 : index + 3]]
    return after == ["RESUME", "POP_TOP"]


def _is_constant(value: object) -> bool:
    if type(value) in (tuple, frozenset):
        return all(map(_is_constant, value))  # type: ignore[call-overload]
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _is_called(program: list[Instruction], index: int) -> bool:
    """Whether a function that is loaded is called at once, and as it must be."""
    name = program[index].argval
    above = 0
    for at in range(index + 1, len(program)):
        instruction = program[at]
        count = instruction.arg or 0
        if instruction.opname == _CALL and count == above:
            after = program[at + 1 + (_CALL == "PRECALL")].opname
            if name in _MAKE_ITERATORS:
                return after == "GET_ITER"
            if name == "str":
                return count == 1  # with a second argument it is the name of a codec
            return name not in _OF_SEVERAL or count > 1
        if "JUMP" in instruction.opname or instruction.opname in ("FOR_ITER", "YIELD_VALUE"):
            return False
        if instruction.opname != "CACHE":
            above += _effect(instruction)
        if above < 0:
            return False
    return False


def _effect(instruction: Instruction) -> int:
    argument = instruction.arg if instruction.opcode >= dis.HAVE_ARGUMENT else None
    return dis.stack_effect(instruction.opcode, argument, jump=False)


def _is_guarded(
    code: CodeType, program: list[Instruction], reached: set[int], places: dict[int, int]
) -> bool:
    """Whether a handler of the code's own is around what can run.

    Python 3.12 puts one around each generator, which makes a RuntimeError of a StopIteration.
    """
    for entry in dis.Bytecode(code).exception_entries:  # type: ignore[attr-defined]
        handler = program[places[entry.target]]
        if handler.opname == "CALL_INTRINSIC_1" and handler.arg == 3:
            continue
        if any(entry.start <= program[index].offset < entry.end for index in reached):
            return True
    return False


def _loops(program: list[Instruction], reached: set[int], following: dict[int, list[int]]) -> bool:
    """Whether the code may go round and round without coming past a `yield`."""
    done: set[int] = {index for index in reached if program[index].opname == "YIELD_VALUE"}
    for start in reached:
        path: list[int] = []
        inside: set[int] = set()
        pending = [(start, False)]
        while pending:
            index, is_left = pending.pop()
            if is_left:
                inside.discard(path.pop())
                done.add(index)
                continue
            if index in inside:
                return True
            if index in done:
                continue
            inside.add(index)
            path.append(index)
            pending.append((index, True))
            pending += [(after, False) for after in following[index]]
    return False
