r"""L2: derivatives of posterior averages, for any number of patterns.

With ``w_i = u_i exp(h_i)/Z``:  ``d log Z = E dh``  and  ``d E f = E df + E f dh - E f E dh``. No hypothesis but that
the weights move by ``h``: with fixed prior weights ``u`` in their place the covariance is missing.
"""

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from dynamem.theorems import symbols, theorem


@theorem(
    "L2",
    "d log Z = E dh, and d E f = E df + Cov(f, dh)",
    domain="all N, by symbolic sums",
)
def averages(proof, *, sign=1):
    t, i = sympy.Symbol("t", real=True), sympy.Symbol("i", integer=True)
    n, u = sympy.Symbol("n", integer=True, positive=True), sympy.IndexedBase("u", real=True)
    h, f = (sympy.Function(name, real=True)(i, t) for name in "hf")
    total = lambda term: sympy.Sum(u[i] * sympy.exp(h) * term, (i, 1, n))  # noqa: E731
    z, names = total(1), {}

    def named(expression):
        """The expression with a symbol for each sum."""
        found = expression.doit().atoms(sympy.Sum)
        for one in found:
            names.setdefault(
                sympy.Sum(sympy.expand(one.function), *one.limits), symbols(f"S{len(names)}", positive=True)
            )
        swap = {one: names[sympy.Sum(sympy.expand(one.function), *one.limits)] for one in found}
        return expression.doit().xreplace(swap)

    h_dot, f_dot = sympy.diff(h, t), sympy.diff(f, t)
    proof.zero("d log Z", named(sympy.diff(sympy.log(z), t)) - named(total(h_dot)) / named(z))
    slope = named(sympy.diff(total(f) / z, t))
    parts = [named(total(term)) / named(z) for term in (f_dot, f * h_dot, f, h_dot)]
    rest = slope - parts[0] - parts[1] + sign * parts[2] * parts[3]
    split = {one: a + b for one, a, b in _sums_of_sums(names, f, f_dot, h_dot, total)}
    proof.zero("d E f", rest.xreplace(split))
    numbers(proof)


def numbers(proof):
    """Automatic differentiation of five weights, and the covariance that a fixed average lacks."""
    u, h, h_dot, f, f_dot = jnp.asarray(np.random.default_rng(0).uniform(0.1, 2.0, size=(5, 5)))

    def average(h, f):
        return jax.nn.softmax(jnp.log(u) + h) @ f

    made = jax.jvp(average, (h, f), (h_dot, f_dot))[1]
    mean = lambda one: average(h, one)  # noqa: E731
    covariance = mean(f * h_dot) - mean(f) * mean(h_dot)
    proof.close("d E f, automatic differentiation", made, mean(f_dot) + covariance)
    proof.witness("weights that move: E df alone is not d E f", abs(made - mean(f_dot)))


def _sums_of_sums(names, f, f_dot, h_dot, total):
    """The sum of two terms is the sum of their sums."""
    lookup = {key.function: value for key, value in names.items()}
    both = sympy.expand(total(f_dot + f * h_dot).function)
    one, other = (sympy.expand(total(term).function) for term in (f_dot, f * h_dot))
    return [(lookup[both], lookup[one], lookup[other])] if both in lookup else []


main = averages.prove
