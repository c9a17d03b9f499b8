r"""L1: Gibbs' inequality, ``sum_i w_i log(w_i/v_i) >= 0`` for positive weights that each sum to one.

``f(x) = x - 1 - log x`` has ``f(1) = 0`` and ``(x - 1) f'(x) = (x - 1)^2/x >= 0``, so ``f >= 0``; and
``KL(w || v) = sum_i w_i f(v_i/w_i)`` as both sum to one.
"""

import numpy as np
import sympy

from dynamem.theorems import product, symbols, theorem


@theorem(
    "L1",
    "Gibbs' inequality: KL(w || v) >= 0",
    domain="all N (the sum at N = 4), all positive weights",
)
def gibbs(proof, *, shift=1):
    x = symbols("x", positive=True)
    f = x - shift - sympy.log(x)
    proof.zero("f(1)", f.xreplace({x: sympy.Integer(1)}))
    away = (x - 1) * sympy.diff(f, x)
    proof.falls("f falls toward 1 from both sides", -away, [product((x - 1) ** 2, 1 / x)])
    a, b = symbols("a", 4, positive=True), symbols("b", 4, positive=True)
    w, v = a / sum(a), b / sum(b)
    terms = [p * f.xreplace({x: q / p}) for p, q in zip(w, v, strict=True)]
    proof.zero("KL = sum w f(v/w)", sum(terms) - sum(p * sympy.log(p / q) for p, q in zip(w, v, strict=True)))
    draws = np.random.default_rng(0).dirichlet(np.ones(6), size=(2, 200))
    proof.below("200 draws", -(draws[0] * np.log(draws[0] / draws[1])).sum(axis=1))
    proof.witness("weights that do not sum to one", -(0.5 * np.log(0.5 / 1.0)))


main = gibbs.prove
