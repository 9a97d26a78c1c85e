"""Algebra on the server: operators, functions and printing."""

import wsremote

with wsremote.connect() as session:
    sympy = session.modules.sympy

    x, y = sympy.symbols("x y")
    parabola = x**2 + 1
    print(parabola, "|", 2 * x - y / 3, "|", -x == x * -1)

    print(sympy.diff(parabola, x), sympy.integrate(parabola, x))
    print(sympy.integrate(sympy.exp(-(x**2)), (x, -sympy.oo, sympy.oo)))
    print(sympy.pretty(sympy.Integral(sympy.sqrt(1 / x), x)))

    print(parabola.subs(x, 3), int(parabola.subs({x: 3})), float(sympy.pi.evalf(20)))
    print(sympy.solve(parabola - 5, x), sympy.factor(x**3 - y**3))
    print(sorted(parabola.free_symbols | {y}, key=str), parabola.is_polynomial(x))
    print(sympy.latex(sympy.Matrix([[1, x], [y, 1]]).det()))
