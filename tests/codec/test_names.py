"""What travels by name: the frozen tables."""

from __future__ import annotations

import collections
import decimal
import functools
import importlib
import itertools
import math
import operator
import os
import random
import types
import typing
from typing import Any

import msgpack
import pytest

from wsremote.codec import names, tags
from wsremote.errors import DecodeError


@pytest.mark.parametrize(
    "value",
    [
        *(itertools.groupby, itertools.chain, functools.partial, functools.reduce, operator.add),
        *(collections.OrderedDict, collections.abc.Mapping, math.hypot, typing.Optional),
        *(typing.Any, types.SimpleNamespace, types.FunctionType),
    ],
    ids=str,
)
def test_what_computes_is_itself_on_the_other_side(pair: Any, value: Any) -> None:
    """Functions, classes and forms of `typing`, in both directions."""
    assert pair.there(value) is value
    assert pair.back(value) is value


@pytest.mark.parametrize(
    "name",
    [
        *("functools:singledispatch", "dataclasses:dataclass", "types:CodeType", "os:system"),
        *("typing:get_type_hints", "inspect:getsource", "builtins:eval", "contextlib:chdir"),
    ],
)
def test_what_runs_text_or_reaches_the_machine_has_no_name(pair: Any, name: str) -> None:
    """Neither side takes it from the other."""
    payload = b"\xc1" + msgpack.packb({None: [tags.BUILTIN, name]})
    for codec in (pair.server_codec, pair.client_codec):
        with pytest.raises(DecodeError):
            codec.decode(payload)


def test_modules_that_compute_are_the_clients_own(pair: Any) -> None:
    """They go from the server to the client only."""
    assert pair.back(itertools) is itertools
    assert pair.back(collections.abc) is collections.abc
    payload = b"\xc1" + msgpack.packb({None: [tags.MODULE, "itertools"]})
    with pytest.raises(DecodeError, match="do not go to the server"):
        pair.server_codec.decode(payload)


@pytest.mark.parametrize("module", [os, random, decimal], ids=lambda module: module.__name__)
def test_modules_with_a_machine_or_a_state_have_no_name(module: types.ModuleType) -> None:
    """The client's own is another one: `random.seed` there would not do here."""
    assert names.library_module_name(module) is None
    with pytest.raises(LookupError):
        names.library_module(module.__name__)


def test_a_module_that_poses_as_another_has_no_name() -> None:
    """By its name in `sys.modules`."""
    assert names.library_module_name(types.ModuleType("itertools")) is None


def test_data_packages_go_by_name_to_who_has_them(new_pair: Any) -> None:
    """A package that re-exports numpy gives the client's own."""
    numpy = importlib.import_module("numpy")
    assert new_pair(numpy=numpy.__version__).back(numpy) is numpy
