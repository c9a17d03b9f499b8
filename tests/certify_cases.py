"""Problems with known answers, as a user would write them: (energy, flow, box, constraints, claim, verdict)."""

import diffrax as dfx
import jax
import jax.numpy as jnp

import dynamem as dm


def _ode(field):
    return dfx.ODETerm(lambda t, x, args: field(x))


def _noisy(field, noise):
    path = dfx.VirtualBrownianTree(0.0, 1.0, 1e-2, (1,), jax.random.key(0))
    return dfx.MultiTerm(_ode(field), dfx.ControlTerm(lambda t, x, args: noise(x)[:, None], path))


def _square(t, x):
    return x @ x


def _away(radius):
    """Outside a ball."""
    return lambda t, x: radius**2 - x @ x


def _motzkin(x):
    a, b = x[0] ** 2, x[1] ** 2
    return a**2 * b + a * b**2 - 3 * a * b + 1


def _log_sum_exp(beta, patterns=(1.0, -1.0)):
    xi = jnp.asarray(patterns)
    return lambda t, x: 0.5 * jnp.sum(x**2) - jax.nn.logsumexp(beta * xi * x[0]) / beta


_level = lambda bound: lambda t, x: 3 * x[0] ** 2 / 2 - x[0] * x[1] + x[1] ** 2 - bound  # noqa: E731
_van_der_pol = _ode(lambda x: jnp.stack([-x[1], x[0] - (1 - x[0] ** 2) * x[1]]))
_box = lambda *ends: jnp.asarray(ends)  # noqa: E731
_well = lambda t, x: jnp.sum((x**2 - 1) ** 2) / 4  # noqa: E731

CASES = {
    "linear": (_square, _ode(lambda x: -x), _box((-1, 1), (-1, 1)), (_away(0.1),), "strict_decrease", "certified"),
    "linear, the other sign": (_square, _ode(lambda x: x), _box((-1, 1), (-1, 1)), (), "nonincrease", "broken"),
    "cubic near its basin's edge": (
        _square, _ode(lambda x: -x + x**3), _box((-0.999, 0.999)), (_away(0.01),), "strict_decrease", "certified",
    ),
    "cubic beyond it": (_square, _ode(lambda x: -x + x**3), _box((-1.001, 1.001)), (), "nonincrease", "broken"),
    "van der Pol, level 2.304": (
        lambda t, x: _level(0.0)(t, x), _van_der_pol, _box((-2.5, 2.5), (-3.5, 3.5)),
        (_level(2.304), lambda t, x: 0.01 - _level(0.0)(t, x)), "strict_decrease", "certified",
    ),
    "van der Pol, level 2.31": (
        lambda t, x: _level(0.0)(t, x), _van_der_pol, _box((-2.5, 2.5), (-3.5, 3.5)), (_level(2.31),), "nonincrease",
        "broken",
    ),
    "a needle that breaks": (
        lambda t, x: x[0] ** 2, _ode(lambda x: jnp.stack([-x[0] * (_motzkin(x) - 1e-3), -x[1]])),
        _box((0.5, 2), (-2, 2)), (), "nonincrease", "broken",
    ),
    "a needle that does not": (
        lambda t, x: x[0] ** 2, _ode(lambda x: jnp.stack([-x[0] * (_motzkin(x) + 1e-2), -x[1]])),
        _box((0.5, 2), (-2, 2)), (), "strict_decrease", "certified",
    ),
    "energy and flow at different temperatures": (
        _log_sum_exp(1.0), dm.GradientFlow(_log_sum_exp(4.0)), _box((-3, 3)), (), "nonincrease", "broken",
    ),
    "noise outside its floor": (
        _square, _noisy(lambda x: -x, lambda x: jnp.full(1, 2**0.5)), _box((-3, 3)), (_away(1.1),), "nonincrease",
        "certified",
    ),
    "noise, Ito term forgotten": (
        _square, _noisy(lambda x: -x, lambda x: jnp.full(1, 2**0.5)), _box((-3, 3)), (), "nonincrease", "broken",
    ),
    "a rate of decay": (
        _square, _ode(lambda x: -x), _box((-1, 1), (-1, 1)), (_away(0.1),), ("rate", 1.9), "certified",
    ),
    "a rate too fast": (_square, _ode(lambda x: -x), _box((-1, 1), (-1, 1)), (), ("rate", 2.1), "broken"),
    "positive": (
        lambda t, x: x[0] ** 2 + x[0] * x[1] + x[1] ** 2, _ode(lambda x: -x), _box((-1, 1), (-1, 1)), (_away(0.1),),
        "positive", "certified",
    ),
    "not positive": (
        lambda t, x: x[0] ** 2 + 3 * x[0] * x[1] + x[1] ** 2, _ode(lambda x: -x), _box((-1, 1), (-1, 1)), (),
        "positive", "broken",
    ),
    "a map, step 0.5": (
        _well, dm.Map(lambda x: x - 0.5 * (x**3 - x)), _box((0.5, 1.3)), (lambda t, x: 0.01 - (x[0] - 1) ** 2,),
        "strict_decrease", "certified",
    ),
    "a map, step 1.1": (_well, dm.Map(lambda x: x - 1.1 * (x**3 - x)), _box((-1.5, 1.5)), (), "nonincrease", "broken"),
    "time is a coordinate": (
        lambda t, x: jnp.exp(-t) * x @ x, _ode(lambda x: -x), _box((-1, 1), (0, 1)), (_away(0.1),), "strict_decrease",
        "certified",
    ),
    "annealing raises the energy": (
        lambda t, x: jnp.sum(x**2) / 2 - jnp.log(2 * jnp.cosh((1 + t) * x[0])) / (1 + t),
        dfx.ODETerm(lambda t, x, args: -(x - jnp.tanh((1 + t) * x))), _box((-2, 2), (0, 1)), (), "nonincrease",
        "broken",
    ),
    "a branch": (_square, _ode(lambda x: jnp.where(x > 0, -x, x)), _box((0.1, 1)), (), "strict_decrease", "certified"),
    "a branch, swapped": (
        _square, _ode(lambda x: jnp.where(x > 0, x, -x)), _box((0.1, 1)), (), "nonincrease", "broken",
    ),
    "a norm": (
        lambda t, x: jnp.linalg.norm(x), _ode(lambda x: -x), _box((-1, 1), (-1, 1)), (_away(0.1),), "strict_decrease",
        "certified",
    ),
    "a root of a negative number": (
        lambda t, x: jnp.sqrt(x[0]), _ode(lambda x: -x), _box((-0.001, 1)), (), "nonincrease", "failed",
    ),
    "a logarithm at zero, where there is a rise too": (
        lambda t, x: x[0] * jnp.log(x[0]), _ode(lambda x: -x), _box((0, 1)), (), "nonincrease", "failed",
    ),
    "an equality, which boxes close once all has cancelled": (
        _square, _ode(lambda x: jnp.stack([x[1], -x[0]])), _box((-1, 1), (-1, 1)), (), "nonincrease", "certified",
    ),
    "a Taylor series cut off, which touches 0 at 0": (
        lambda t, x: jnp.sin(x[0]) - x[0] + x[0] ** 3 / 6 - x[0] ** 5 / 120, _ode(jnp.ones_like), _box((-1, 1)), (),
        "nonincrease", "undecided",
    ),
}  # fmt: skip
