"""What notebooks do when somebody looks: Tab, `?`, signature, help. No message."""

from __future__ import annotations

import contextlib
import inspect
import io
import pydoc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    """IPython as a notebook runs it, jedi on."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    made = InteractiveShell(config=config)
    made.Completer.use_jedi = True
    yield made
    made.restore_sys_module_state()


@pytest.fixture
def scope(shell: InteractiveShell, caller: Any, shop: Any, goods: Any) -> Any:
    """The shop's names in the notebook, and the record of messages empty."""
    apple = goods.Apple("a")
    shell.user_ns.update(
        shop=shop, goods=goods, Fruit=goods.Fruit, price=goods.price, apple=apple, job=goods.Job()
    )
    caller.log.clear()
    return caller


def _completions(shell: InteractiveShell, text: str) -> set[str]:
    with provisionalcompleter(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {found.text for found in shell.Completer.completions(text, len(text))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop.", {"goods", "Fruit", "greet", "COUNT", "OPEN"}),
        ("shop.goods.", {"price", "Apple", "LIMIT"}),
        ("goods.Fruit.", {"eat", "kind", "named", "weight", "Stone"}),
        ("Fruit.", {"eat", "kind"}),
        ("apple.", {"eat", "kind", "weight", "who"}),
        ("apple.we", {"weight"}),
        ("goods.Color.", {"RED", "GREEN"}),
    ],
)
def test_tab_is_free(shell: InteractiveShell, scope: Any, text: str, expected: set[str]) -> None:
    """Names come from the tree."""
    found = {name.rpartition(".")[2] for name in _completions(shell, text)}
    assert expected <= found
    assert scope.log == []


@pytest.mark.parametrize("jedi", [True, False])
def test_tab_inside_a_call_is_free(shell: InteractiveShell, scope: Any, jedi: bool) -> None:
    """Keyword names come from the signature."""
    shell.Completer.use_jedi = jedi
    try:
        assert "tax=" in _completions(shell, "price(ta")
        _completions(shell, "apple.eat(")
        _completions(shell, "Fruit(")
        _completions(shell, "apple.")
        _completions(shell, "shop.")
    finally:
        shell.Completer.use_jedi = True
    assert scope.log == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shop", "A shop."),
        ("shop.greet", "greet(name, greeting='hello', *, loud=False)"),
        ("shop.COUNT", "property"),
        ("price", "What it costs."),
        ("goods.Fruit", "A fruit."),
        ("Fruit", "name, weight=1.0"),
        ("Fruit.eat", "Eat it."),
        ("Fruit.Stone", "Inside."),
        ("apple.weight", "In kilos."),
        ("job", "Job"),
        ("job.run", "run()"),
    ],
)
def test_a_question_mark_is_free(
    shell: InteractiveShell, scope: Any, name: str, expected: str
) -> None:
    """`?` shows signature and documentation."""
    assert expected in shell.object_inspect_text(name)
    assert "wsremote/client" not in shell.object_inspect_text(name, detail_level=1)
    with contextlib.redirect_stdout(io.StringIO()):
        shell.run_line_magic("pinfo", name)
        shell.run_line_magic("pinfo2", name)
    assert scope.log == []


def test_an_object_with_a_text_of_its_own_is_asked_for_it_once(
    shell: InteractiveShell, scope: Any
) -> None:
    """`apple?` shows the object's `repr`: that is one message."""
    text = shell.object_inspect_text("apple")
    assert "Fruit('a')" in text
    assert [entry[2] for entry in scope.log] == ["__repr__"]


def test_display_is_one_message(shell: InteractiveShell, scope: Any) -> None:
    """The probes of the display machinery ask nothing."""
    data, _ = shell.display_formatter.format(shell.user_ns["apple"])
    assert data == {"text/plain": "Fruit('a')"}
    assert len(scope.log) == 1


@pytest.mark.parametrize("name", ["price", "Job", "Loud", "Box"])
def test_help_is_free(scope: Any, goods: Any, name: str) -> None:
    """`help` of functions and classes; class variables and modules' are read, as at home."""
    assert name in pydoc.plain(pydoc.render_doc(getattr(goods, name)))
    assert scope.log == []


def test_help_of_a_proxy_is_free(scope: Any, goods: Any) -> None:
    """Its class is what is shown."""
    job = goods.Job()
    scope.log.clear()
    assert "Job" in pydoc.plain(pydoc.render_doc(job))
    assert scope.log == []


def test_inspect_is_free(scope: Any, goods: Any) -> None:
    """Signatures and kinds of everything."""
    apple = goods.Apple("a")
    scope.log.clear()
    for target in (goods.price, goods.Fruit, goods.Fruit.eat, apple.eat, apple):
        inspect.signature(target)
        inspect.getdoc(target)
        inspect.unwrap(target)
        callable(target)
    assert inspect.isfunction(goods.price)
    assert inspect.isclass(goods.Fruit)
    assert inspect.ismodule(goods)
    assert not inspect.isawaitable(apple)
    assert scope.log == []
