"""Which token may register which names."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from nameserver.access import Access, Grant, read_tokens
from wsremote.protocol.proof import ClientProof


def key_id(token: str) -> str:
    return ClientProof(token).key_id


@pytest.mark.parametrize(
    ("patterns", "name", "may"),
    [
        (["*"], "anything", True),
        (["risk"], "risk", True),
        (["risk"], "risk2", False),
        (["risk"], "Risk", False),
        (["risk-*"], "risk-eu", True),
        (["risk-*"], "risk", False),
        (["risk.?"], "risk.1", True),
        (["risk.?"], "riskx1", False),
        (["other", "r[ab]"], "rb", True),
        (["other", "r[ab]"], "rc", False),
    ],
)
def test_names_are_patterns(patterns: list[str], name: str, may: bool) -> None:
    """As of file names, with the case, all of the name; a dot is a dot."""
    access = Access([Grant("t", tuple(patterns))])
    assert access.may_register(key_id("t"), name) is may
    assert not access.may_register(key_id("another"), name)
    assert not access.may_register("", name)


def test_without_grants_nobody_registers() -> None:
    """Not with any token: registering is never open."""
    access = Access([])
    assert not access
    assert access.tokens == ()
    assert not access.may_register(key_id("t"), "risk")


def test_a_token_twice_is_one_or_an_error() -> None:
    """Which of two lists of names would count?"""
    assert Access([Grant("t", ("a",)), Grant("t", ("a",))]).tokens == ("t",)
    with pytest.raises(ValueError, match="given twice"):
        Access([Grant("t", ("a",)), Grant("t", ("b",))])


def test_no_token_is_shown() -> None:
    """Not in the text of a grant either."""
    assert "secret" not in repr(Grant("secret", ("a",)))


def test_a_file_of_tokens(tmp_path: Path) -> None:
    """Each with its names, and perhaps a note for people."""
    path = tmp_path / "tokens.toml"
    path.write_text(
        '[[token]]\ntoken = "one"\nnames = ["risk", "risk-*"]\nnote = "risk team"\n'
        '[[token]]\ntoken = "two"\nnames = ["*"]\n'
    )
    assert read_tokens(path) == [Grant("one", ("risk", "risk-*")), Grant("two", ("*",))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[\[token\]\] is there"),
        ("[[token]]\n", 'number 1: write token = "…"'),
        ('[[token]]\ntoken = "secret"\n', "number 1: write names"),
        ('[[token]]\ntoken = "secret"\nnames = "risk"\n', "number 1: write names"),
        ('[[token]]\ntoken = "secret"\nnames = []\n', "number 1: write names"),
        ('[[token]]\ntoken = "secret"\nname = ["risk"]\n', "no key 'name'; there are 'names'"),
        ('[[token]]\ntoken = "secret"\nnames = ["a b"]\n', "'a b' is no pattern"),
        ('[[token]]\ntoken = "secret"\nnames = [7]\n', "7 is no pattern"),
        ("a = " + "[" * 100_000, "it is nested too deeply"),
        ('[[tokens]]\ntoken = "secret"\n', r"only \[\[token\]\] may be there, not 'tokens'"),
        ('[token]\ntoken = "secret"\n', r"no \[\[token\]\] is there"),
        ("token = secret", "line 1"),
    ],
)
def test_a_wrong_file_is_told_without_its_tokens(tmp_path: Path, text: str, message: str) -> None:
    """Which file, which table, what to write; a line with a secret is not repeated."""
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_tokens(path)
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_all_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The tokens in it are everybody's; one for this user is not remarked upon."""
    path = tmp_path / "tokens.toml"
    path.write_text('[[token]]\ntoken = "one"\nnames = ["*"]\n')
    path.chmod(0o600)
    with caplog.at_level(logging.WARNING):
        read_tokens(path)
        assert caplog.text == ""
        path.chmod(0o644)
        read_tokens(path)
    assert "everybody on this machine can read it" in caplog.text
