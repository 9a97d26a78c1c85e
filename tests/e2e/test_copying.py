"""`copy`, `deepcopy` and `pickle` of served objects happen on the server."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import wsremote


@pytest.fixture
def posing(pkg: Any) -> Any:
    """`samplepkg.posing` of the server."""
    return pkg.posing


def test_a_copy_is_a_new_object_there(posing: Any) -> None:
    """It shares what it holds."""
    bag = posing.Bag(inner=posing.Bag(x=1))
    made = copy.copy(bag)
    assert type(made) is posing.Bag and made is not bag
    assert made.inner is bag.inner
    made.other = 1
    assert not hasattr(bag, "other")


def test_a_deep_copy_shares_nothing(posing: Any) -> None:
    """Alone, or in a container of the client."""
    bag = posing.Bag(inner=posing.Bag(x=1))
    made = copy.deepcopy(bag)
    assert made.inner is not bag.inner
    listed = copy.deepcopy({"bag": [bag]})
    assert listed["bag"][0] is not bag
    assert listed["bag"][0].inner.x == 1


def test_a_deep_copy_of_several_keeps_what_they_share(posing: Any) -> None:
    """Two objects that hold one: so do their copies."""
    one, two = posing.share()
    assert one.inner is two.inner
    made_one, made_two, again = copy.deepcopy([one, two, one])
    assert made_one is again
    assert made_one.inner is made_two.inner
    assert made_one.inner is not one.inner


def test_own_methods_of_copying_are_used(pkg: Any) -> None:
    """`__copy__` and `__deepcopy__` of the class."""
    everything = pkg.operands.Everything(1)
    assert copy.copy(everything).number == 101
    assert copy.deepcopy(everything).number == 201


def test_functions_are_not_copied(posing: Any) -> None:
    """As at home."""
    scale = posing.scaled()
    assert copy.copy(scale) is scale
    assert copy.deepcopy([scale])[0] is scale


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_makes_a_new_object_in_its_session(posing: Any, protocol: int) -> None:
    """With the data that the object had when it was pickled."""
    bag = posing.Bag(x=1)
    data = pickle.dumps({"bag": bag, "same": bag}, protocol)
    bag.x = 2
    made = pickle.loads(data)
    assert type(made["bag"]) is posing.Bag
    assert made["bag"] is made["same"] is not bag
    assert made["bag"].x == 1


def test_a_pickle_is_of_no_use_elsewhere(sample: Any) -> None:
    """A session that is over says so, and the pickle of one is none of another."""
    session = wsremote.connect(sample.url, token=sample.token, new=True)
    data = pickle.dumps(session.modules.samplepkg.posing.Bag())
    session.close()
    with pytest.raises(wsremote.StaleHandle, match="only the session that pickled it"):
        pickle.loads(data)


def test_what_cannot_be_pickled_there_says_so(posing: Any) -> None:
    """The server's own error."""
    with pytest.raises(TypeError, match="cannot pickle 'Locked' object"):
        pickle.dumps(posing.Locked())
    with pytest.raises((AttributeError, pickle.PicklingError), match="scaled"):
        pickle.dumps(posing.scaled())
