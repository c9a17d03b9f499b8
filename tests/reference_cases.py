"""Problems with known verdicts from the literature, as JAX functions: `data/lyapunov_cases.json`, read by a whitelist.

Rational numbers become traced quotients of whole ones and ``sqrt`` stays traced, so that no float changes a question.
"""

import ast
import json
from fractions import Fraction
from pathlib import Path

import diffrax as dfx
import jax
import jax.numpy as jnp

import dynamem as dm


CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parent / "data" / "lyapunov_cases.json").read_text())["cases"]
}
STATUSES = {"valid": ("proved", "certified"), "invalid": ("broken",), "ill_posed": ("failed",)}
FUNCTIONS = {
    "exp": jnp.exp, "log": jnp.log, "sin": jnp.sin, "cos": jnp.cos, "tanh": jnp.tanh, "cosh": jnp.cosh,
    "sqrt": jnp.sqrt, "Abs": jnp.abs, "Max": jnp.maximum, "Min": jnp.minimum,
}  # fmt: skip
OPERATORS = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b, ast.Div: lambda a, b: a / b,
}  # fmt: skip


def function_of(text):
    """``values -> number`` for an expression; values by name, ``one`` among them."""
    return _compiled(ast.parse(text, mode="eval").body, text)


def _compiled(node, text):
    if isinstance(node, ast.Constant):
        exact = Fraction(ast.get_source_segment(text, node))
        return lambda values: values["one"] * float(exact.numerator) / float(exact.denominator)
    if isinstance(node, ast.Name):
        return (lambda values: 4.0 * jnp.arctan(values["one"])) if node.id == "pi" else lambda values: values[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _compiled(node.operand, text)
        return lambda values: -inner(values)
    if isinstance(node, ast.Call) and not node.keywords:
        function, args = FUNCTIONS[node.func.id], [_compiled(arg, text) for arg in node.args]
        return lambda values: function(*(arg(values) for arg in args))
    assert isinstance(node, ast.BinOp), ast.dump(node)
    left = _compiled(node.left, text)
    if isinstance(node.op, ast.Pow):
        power = ast.literal_eval(node.right)
        assert isinstance(power, int)
        return lambda values: left(values) ** power
    operator, right = OPERATORS[type(node.op)], _compiled(node.right, text)
    return lambda values: operator(left(values), right(values))


def problem(name):
    """Keywords of ``certify`` and ``prove`` for a case."""
    case = CASES[name]
    if case["kind"] == "discrete_map":
        return _binary(case)
    names, clock = case["vars"], case.get("time_var")

    def values(t, x):
        return {"one": jnp.ones(()), **{one: x[place] for place, one in enumerate(names)}} | (
            {clock: t} if clock else {}
        )

    energy = function_of(case["V"])
    constraints = [function_of(text) for text in case["domain"]["constraints_le_0"]]
    claim = ("rate", float(Fraction(case["rate"]))) if case["claim"] == "rate" else case["claim"]
    return {
        "energy": lambda t, x: energy(values(t, x)),
        "flow": _flow(case, values),
        "box": jnp.asarray([[float(Fraction(end)) for end in row] for row in case["domain"]["box"]]),
        "constraints": [lambda t, x, one=one: one(values(t, x)) for one in constraints],
        "claim": claim,
    }


def _flow(case, values):
    field = [function_of(text) for text in case["f"]]
    drift = lambda t, x, args: jnp.stack([one(values(t, x)) for one in field])  # noqa: E731
    if case["kind"] == "map":
        return dm.Map(lambda x: drift(0.0, x, None))
    if case["kind"] == "ode":
        return dfx.ODETerm(drift)
    rows = [[function_of(text) for text in row] for row in case["g"]]
    noise = lambda t, x, args: jnp.stack([jnp.stack([one(values(t, x)) for one in row]) for row in rows])  # noqa: E731
    path = dfx.VirtualBrownianTree(0.0, 1.0, 1e-2, (len(rows[0]),), jax.random.key(0))
    return dfx.MultiTerm(dfx.ODETerm(drift), dfx.ControlTerm(noise, path))


def _binary(case):
    """Units of -1 and 1: the region is where ``s_i^2 = 1``."""
    weights = jnp.asarray(case["W"], float)
    size = len(weights)
    sign = lambda h, s: jnp.where(h > 0, 1.0, jnp.where(h < 0, -1.0, s))  # noqa: E731

    def in_turn(s):
        for place in range(size):
            s = s.at[place].set(sign(weights[place] @ s, s[place]))
        return s

    at_once = case["rule"] == "all units at once"
    return {
        "energy": lambda t, s: -0.5 * s @ weights @ s,
        "flow": dm.Map((lambda s: sign(weights @ s, s)) if at_once else in_turn),
        "box": jnp.tile(jnp.asarray([-1.0, 1.0]), (size, 1)),
        "constraints": [lambda t, s, place=place: 1.0 - s[place] ** 2 for place in range(size)],
        "claim": case["claim"],
    }
