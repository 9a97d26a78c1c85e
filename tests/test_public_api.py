"""What `import wsremote` offers: pinned, so that a change of it is seen and meant."""

from __future__ import annotations

import importlib.metadata
import inspect
import tomllib
from pathlib import Path

import pytest

import wsremote
from wsremote import errors

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
API = {
    *("AsyncSession", "InfoTree", "Progress", "ServerInfo", "Session"),
    *("connect", "connect_async", "servers"),
    *("ahead", "inout", "ref", "ship"),
}


def test_all_is_the_settled_api() -> None:
    """`__all__` holds the names of docs/design.md and every error, each once."""
    assert sorted(wsremote.__all__) == sorted([*API, *errors.__all__, "__version__"])


@pytest.mark.parametrize("name", sorted({*API, *errors.__all__}))
def test_each_public_name_is_documented(name: str) -> None:
    """Every public name exists and has a docstring of its own."""
    documented = getattr(wsremote, name)
    assert (documented.__doc__ or "").strip()


def test_every_error_has_the_base_class() -> None:
    """One `except wsremote.WsRemoteError` catches all that wsremote itself raises."""
    for name in errors.__all__:
        assert issubclass(getattr(wsremote, name), wsremote.WsRemoteError), name


@pytest.mark.parametrize("face", [wsremote.Session, wsremote.AsyncSession])
def test_public_methods_of_a_session_are_annotated_and_documented(face: type) -> None:
    """What a user finds with Tab on a session explains itself."""
    for name, member in inspect.getmembers(face):
        if not name.startswith("_") and inspect.isfunction(member):
            assert member.__doc__, name
            assert "return" in member.__annotations__, name


def test_the_version_is_written_once() -> None:
    """The distribution takes its version from `wsremote/version.py`."""
    project = tomllib.loads(PYPROJECT.read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "wsremote/version.py"


def test_the_dependencies_are_the_five() -> None:
    """Serving and connecting need four packages; the name server compares versions with a fifth."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    names = {requirement.partition(">")[0] for requirement in project["dependencies"]}
    assert names == {"click", "cloudpickle", "msgpack", "packaging", "websockets"}


def test_an_installed_wsremote_is_this_one() -> None:
    """The metadata of an installation, where there is one, tells the same version."""
    try:
        installed = importlib.metadata.version("wsremote")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("wsremote is not installed here, only checked out")
    assert installed == wsremote.__version__
