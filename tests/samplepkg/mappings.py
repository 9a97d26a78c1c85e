"""The mappings of the standard library, in and out."""

import collections
import types

KEPT = collections.OrderedDict(a=1)


def kind(value):
    """The class and the content of a mapping."""
    return type(value).__name__, dict(value)


def count(words):
    """How often each word occurs."""
    return collections.Counter(words)


def group(words):
    """The words by their first letter."""
    grouped = collections.defaultdict(list)
    for word in words:
        grouped[word[0]].append(word)
    return grouped


def fill(mapping, *keys):
    """Ask for each key, which a defaultdict then has."""
    return [mapping[key] for key in keys]


def first_last(ordered):
    """Move the first key to the end."""
    ordered.move_to_end(next(iter(ordered)))


def set_in(chain, key, value):
    """Set a key of a chain: of its first mapping."""
    chain[key] = value
    return isinstance(chain, collections.ChainMap), len(chain.maps)


def can_write(view):
    """Whether a mapping can be written."""
    try:
        view["new"] = 1
    except TypeError:
        return False
    return True


def view():
    """A view of what this module keeps."""
    return types.MappingProxyType(KEPT)
