"""sympy over the wire, from a client that does not have it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bareclient import BareClient, in_bare_client, open_bare_client
from harness import start_server


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareClient]:
    """A client of a server of sympy."""
    served = start_server("sympy", folder=tmp_path_factory.mktemp("server"))
    with open_bare_client(served, tmp_path_factory.mktemp("client")) as opened:
        yield opened
    served.stop()


@in_bare_client
def test_expressions_of_symbols_and_local_numbers() -> None:
    """Operators with a remote operand on either side, equality, hash, printing."""
    from sympy import Symbol, symbols

    x, y = symbols("x y")
    assert str(x**2 + 1) == "x**2 + 1"
    assert repr(x**2 + 1) == "x**2 + 1"
    assert 2 * x == x * 2
    assert 1 - x == -(x - 1)
    assert str(2**x) == "2**x"
    assert x != y
    assert {x: 1, y: 2}[Symbol("x")] == 1
    assert len({x, Symbol("x")}) == 1
    assert sum([x, y, 1]) == x + y + 1
    assert [str(each) for each in symbols("q0:3")] == ["q0", "q1", "q2"]
    assert x.name == "x"
    assert Symbol("p", positive=True).is_positive is True
    assert x.is_positive is None


@in_bare_client
def test_calculus_and_equations() -> None:
    """`diff`, `integrate`, `limit`, `series`, `solve`, `dsolve`, `simplify`."""
    import sympy

    x, y = sympy.symbols("x y")
    assert sympy.diff(x**2, x) == 2 * x
    assert (x**3).diff(x) == 3 * x**2
    assert sympy.integrate(2 * x, x) == x**2
    assert sympy.integrate(sympy.exp(-(x**2)), (x, -sympy.oo, sympy.oo)) == sympy.sqrt(sympy.pi)
    assert sympy.limit(sympy.sin(x) / x, x, 0) == 1
    assert str(sympy.series(sympy.exp(x), x, 0, 3)) == "1 + x + x**2/2 + O(x**3)"
    roots = sympy.solve(x**2 - 4, x)
    assert type(roots) is list
    assert sorted(roots) == [-2, 2]
    assert sympy.solve([x + y - 2, x - y], [x, y]) == {x: 1, y: 1}
    assert sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2) == 1
    f = sympy.Function("f")
    solution = sympy.dsolve(sympy.Eq(f(x).diff(x), f(x)), f(x))
    assert str(solution) == "Eq(f(x), C1*exp(x))"


@in_bare_client
def test_numbers_are_exact_and_become_python_numbers() -> None:
    """`S.Half`, `Rational`, `sympify`, comparison with local numbers, conversion."""
    import math
    from fractions import Fraction

    import sympy

    half = sympy.S.Half
    assert half == sympy.Rational(1, 2)
    assert isinstance(half, sympy.Rational)
    assert half + half == 1
    assert (int(sympy.S(7)), float(half), complex(sympy.I)) == (7, 0.5, 1j)
    assert half < 1 < sympy.S(2)
    assert max([half, sympy.Rational(3, 4)]) == sympy.Rational(3, 4)
    assert math.floor(sympy.Rational(7, 2)) == 3
    quarter = sympy.Rational(3, 4)
    assert Fraction(int(quarter.p), int(quarter.q)) == Fraction(3, 4)
    assert sympy.sympify("x + 1") == sympy.Symbol("x") + 1
    assert str(sympy.pi.evalf(10)) == "3.141592654"
    assert sympy.isprime(7) is True
    assert list(sympy.primerange(10)) == [2, 3, 5, 7]
    assert sympy.factorint(12) == {2: 2, 3: 1}
    assert bool(sympy.S.true)
    assert not sympy.S.false


@in_bare_client
def test_classes_and_structure() -> None:
    """`isinstance`, `type`, `func` and `args`, `atoms`, `free_symbols`, `match`, `has`."""
    import sympy

    x, y = sympy.symbols("x y")
    total = x + 1
    assert type(total) is sympy.Add
    assert isinstance(total, sympy.Expr)
    assert not isinstance(total, sympy.Mul)
    assert total.func is sympy.Add
    assert total.func(*total.args) == total
    assert (x + y).free_symbols == {x, y}
    assert (x + 2 * y).atoms(sympy.Symbol) == {x, y}
    assert (x + y).has(x)
    w = sympy.Wild("w")
    assert (2 * x).match(w * x) == {w: 2}
    assert [str(node) for node in sympy.preorder_traversal(x**2)] == ["x**2", "x", "2"]


@in_bare_client
def test_substitution_and_functions_of_the_client() -> None:
    """`subs` by dict and by pairs, `replace` and `sorted` with local functions."""
    import sympy

    x, y = sympy.symbols("x y")
    assert (x + y).subs({x: 1, y: 2}) == 3
    assert (x + y).subs([(x, 1), (y, 2)]) == 3
    assert (x + 1).replace(lambda e: e.is_Symbol, lambda e: e * 2) == 2 * x + 1
    assert sorted([y, x], key=sympy.default_sort_key) == [x, y]
    assert sorted([y, x], key=str) == [x, y]


@in_bare_client
def test_matrices() -> None:
    """Built of nested lists, indexed, changed, multiplied, read back."""
    from sympy import Matrix, symbols

    x, y = symbols("x y")
    matrix = Matrix([[1, x], [y, 1]])
    assert matrix.det() == 1 - x * y
    assert matrix.shape == (2, 2)
    assert matrix[0, 1] == x
    assert matrix.T[0, 1] == y
    assert (matrix * matrix)[0, 0] == 1 + x * y
    assert list(matrix) == [1, x, y, 1]
    assert matrix.tolist() == [[1, x], [y, 1]]
    matrix[0, 0] = 5
    assert matrix[0, 0] == 5


@in_bare_client
def test_a_function_made_on_the_server_is_called() -> None:
    """What `lambdify` gives: positional arguments, int and float."""
    from sympy import lambdify, symbols

    x, y = symbols("x y")
    square = lambdify(x, x**2 + 1)
    assert (square(3), square(0.5)) == (10, 1.25)
    assert lambdify([x, y], x + y, "math")(1, 2) == 3


@in_bare_client
def test_star_import() -> None:
    """`from sympy import *` binds what its `__all__` has, and it works together."""
    import sympy

    scope: dict = {}
    exec("from sympy import *", scope)
    assert set(sympy.__all__) <= set(scope)
    assert scope["diff"] is sympy.diff
    exec("x = symbols('x'); result = integrate(sin(x), (x, 0, pi))", scope)
    assert scope["result"] == 2


@in_bare_client
def test_printing() -> None:
    """`pretty`, `latex`, `pprint` to the caller's stdout, f-strings."""
    import contextlib
    import io

    import sympy

    x = sympy.Symbol("x")
    assert sympy.latex(x**2) == "x^{2}"
    assert sympy.pretty(x**2) == " 2\nx "
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        sympy.pprint(x**2)
    assert printed.getvalue() == " 2\nx \n"
    assert f"{x + 1}" == "x + 1"


@in_bare_client
def test_errors() -> None:
    """Classes of sympy, and TypeError for an inequality without truth value."""
    import sympy

    x = sympy.Symbol("x")
    try:
        sympy.sympify("x +* 2")
    except sympy.SympifyError as error:
        assert isinstance(error, ValueError)
    else:
        raise AssertionError("no SympifyError")
    try:
        bool(x < 2)
    except TypeError as error:
        assert "truth value" in str(error)
    else:
        raise AssertionError("no TypeError")
    try:
        sympy.Matrix([[1, 2]]).inv()
    except sympy.matrices.exceptions.NonSquareMatrixError as error:
        assert isinstance(error, sympy.ShapeError)
    else:
        raise AssertionError("no NonSquareMatrixError")


@in_bare_client
def test_a_context_manager_of_sympy() -> None:
    """`evaluate(False)` holds for what this thread makes inside the block."""
    import sympy

    x = sympy.Symbol("x")
    with sympy.evaluate(False):
        unevaluated = x + x
    assert str(unevaluated) == "x + x"
    assert str(x + x) == "2*x"


@in_bare_client
def test_names_written_into_the_caller_stay_away_from_the_server() -> None:
    """`sympy.var` writes into its caller's globals, which are not those of the server."""
    import sympy

    assert str(sympy.var("SPECIALS")) == "SPECIALS"
    x = sympy.Symbol("x")
    assert str(x + 1) == "x + 1"
