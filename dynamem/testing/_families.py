"""Mutants by families: one correct program each, the slips that are made in it, and the assertions that should see."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import diffrax as dfx
import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..diffusion import (
    VE,
    AbstractDenoiser,
    DiffusionPath,
    Empirical,
    FlowMatching,
    GaussianMixture,
    Prediction,
    convert,
)
from ..diffusion._parametrisation import Parametrisation
from ..flows import AbstractSDEFlow, Map, ProbabilityFlow
from ..solvers import DDIM, DPMSolver2M, DPMSolver2S, EDMHeun, ExponentialAB
from ._fields import assert_score_is_gradient
from ._models import FAMILIES, drawn_case, schedules
from ._mutations import RULES, Mutated, slips_of
from ._samplers import assert_sampler_consistent
from ._schedules import assert_schedule
from ._slips import SLIPS, terms_of
from ._subjects import SUBJECTS, Case, ask, built


SHAPES = ((2, 1), (2, 2), (3, 2))
MOST = {"sign": 2}
"""Places of a rule in one program, 1 where not named."""


class Family(NamedTuple):
    """Slips in one program.

    Attributes:
        kind: of what is mutated: energy, drift, noise, update, schedule, sampler, score, or slip.
        name: of the subject.
        slips: name and words of each.
        drawn: strategy of what the assertions are asked with.
        ask: ``(drawn, k)`` asks the mutant of slip k, -1 the correct program; raises `AssertionError`.
        values: ``(drawn, k)``: numbers that the mutated part returns, to see whether a slip changes any.
        size: patterns and coordinates of what was drawn, None where there are none.
    """

    kind: str
    name: str
    slips: tuple[tuple[str, str], ...]
    drawn: st.SearchStrategy
    ask: Callable[[Any, int], None]
    values: Callable[[Any, int], Any]
    size: Callable[[Any], tuple[int, int] | None]


def _size(drawn: Any) -> tuple[int, int]:
    return drawn[0].shape


def _words(slips: tuple[tuple[str, int], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{rule} {place}", RULES[rule].words) for rule, place in slips)


# ---------------------------------------------------------------------- energies, drifts, updates


PARTS = ("energy", "drift", "noise", "update")


def _part(case: Case, part: str) -> Callable | None:
    is_map = isinstance(case.flow, Map)
    match part:
        case "energy":
            return case.energy
        case "drift":
            return None if is_map else case.flow.drift
        case "noise":
            return case.flow.diffusion if isinstance(case.flow, AbstractSDEFlow) else None
    return case.flow.f if is_map else None


def _arguments(part: str, t: Array, x: Array) -> tuple:
    return {"energy": (t, x), "update": (x,)}.get(part, (t, x, None))


def _swapped(case: Case, part: str, slips: tuple, k: int, size: int) -> Case:
    function = _part(case, part)
    assert function is not None
    wrong = Mutated(function, slips, k)
    if part == "energy":
        return Case(wrong, case.flow, case.t0, case.t1, case.mobility)
    drift, noise = (case.flow.drift, wrong) if part == "noise" else (wrong, None)
    return Case(case.energy, terms_of(case.flow, drift, size, noise), case.t0, case.t1, case.mobility)


@eqx.filter_jit
def _values(function: Callable, part: str, ts: Array, xs: Array) -> list[Array]:
    """What a part returns at each time and state, as arrays of shape (times, B, ...)."""

    def at(t: Array, x: Array) -> list[Array]:
        return jax.tree.leaves(eqx.filter(function(*_arguments(part, t, x)), eqx.is_array))

    return jax.vmap(lambda t: jax.vmap(lambda x: at(t, x))(xs))(ts)


def _of_part(name: str, part: str) -> Family | None:
    subject = SUBJECTS[name]
    xi = np.asarray([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]])
    case, x = built(name, xi, 2.0), jnp.asarray(subject.states(xi, xi[:1]))[0]
    function = _part(case, part)
    if function is None:
        return None
    slips = slips_of(function, *_arguments(part, jnp.asarray(case.t0), x), most=MOST)

    def asked(drawn: Any, k: int) -> None:
        ask(_swapped(built(name, *drawn[:2]), part, slips, k, drawn[2].shape[1]), drawn[2])

    def values(drawn: Any, k: int) -> Any:
        right = built(name, *drawn[:2])
        wrong = Mutated(_part(right, part), slips, k)  # pyright: ignore[reportArgumentType]
        found = _values(wrong, part, jnp.linspace(right.t0, right.t1, 4), jnp.asarray(drawn[2]))
        return [found[0] - found[0][0, 0]] if part == "energy" else found  # of an energy a constant is nothing

    return Family(part, name, _words(slips), drawn_case(name, SHAPES), asked, values, _size)


def _slipped(name: str) -> Family:
    subject = SUBJECTS[name]
    fitting = [slip for slip in SLIPS if name in SLIPS[slip].fits]

    def case(drawn: Any, k: int) -> Case:
        xi, beta = jnp.asarray(drawn[0]), jnp.asarray(drawn[1])
        return subject.build(xi, beta) if k < 0 else SLIPS[fitting[k]].made(subject.build, xi, beta)

    def values(drawn: Any, k: int) -> Any:
        del k
        return [jnp.asarray(drawn[1])]

    slips = tuple((slip, SLIPS[slip].words) for slip in fitting)
    return Family("slip", name, slips, drawn_case(name, SHAPES), lambda d, k: ask(case(d, k), d[2]), values, _size)


# ------------------------------------------------------------------------------------ schedules


FUNCTIONS = ("alpha", "sigma", "f", "g2", "lam", "t_of_lam")


class SlippedSchedule(eqx.Module):
    """A schedule with a slip in one of its functions."""

    of: Any
    name: str = eqx.field(static=True)
    slips: tuple = eqx.field(static=True)
    chosen: Array = eqx.field(converter=jnp.asarray)

    def __getattr__(self, name: str) -> Any:
        if name not in (*FUNCTIONS, "alpha_dot", "sigma_dot"):
            raise AttributeError(name)
        function = getattr(self.of, name)
        return Mutated(function, self.slips, self.chosen) if name == self.name else function


def _of_schedule(kind: str, function: str) -> Family:
    drawn = schedules((kind,))
    one = FAMILIES[kind][0]()
    slips = slips_of(getattr(one, function), jnp.asarray(0.5), most=MOST)

    def asked(schedule: Any, k: int) -> None:
        assert_schedule(SlippedSchedule(schedule, function, slips, k))

    def values(schedule: Any, k: int) -> Any:
        wrong = Mutated(getattr(schedule, function), slips, k)
        return jax.vmap(wrong)(jnp.linspace(0.01, 0.99, 50))

    return Family("schedule", f"{kind}.{function}", _words(slips), drawn, asked, values, lambda _: None)


# ------------------------------------------------------------------------------------- samplers


class Kept(AbstractDenoiser):
    """A law that slips leave alone: one call, which is not inlined."""

    law: Any

    def mean(self, point: Any) -> Array:
        """That of the law."""
        return eqx.filter_jit(dynamem_kept)(self.law, point)


def dynamem_kept(law: Any, point: Any) -> Array:
    """The law's mean; the name of the call says that nothing is changed in it."""
    return law.mean(point)


class _Step(eqx.Module):
    """A solver's step, without what a scan does not read; of the vector field nothing is changed."""

    solver: Any

    def __call__(self, terms: Any, t0: Any, t1: Any, y0: Any, memory: Any) -> tuple[Any, Any]:
        def law(terms: Any) -> Any:
            return getattr(terms, "term", terms).vector_field.__self__.path.law  # Diffrax wraps terms in a direction

        try:
            kept = eqx.tree_at(law, terms, Kept(law(terms)))
        except AttributeError:  # no terms of a path, about which the solver has something to say
            kept = terms
        y1, _, _, memory, _ = self.solver.step(kept, t0, t1, y0, None, memory, False)
        return y1, memory


class SlippedSolver(dfx.AbstractSolver):
    """A solver with a slip in its step; the slip after the last is a step that reads the times of the next."""

    solver: Any
    slips: tuple = eqx.field(static=True)
    chosen: Array = eqx.field(converter=jnp.asarray)
    term_structure: ClassVar = dfx.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., dfx.LocalLinearInterpolation]] = dfx.LocalLinearInterpolation

    def order(self, terms: Any) -> Any:
        """That of the solver."""
        return self.solver.order(terms)

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> Any:
        """The solver's."""
        return self.solver.init(terms, t0, t1, y0, args)

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: Any, made_jump: Any
    ) -> tuple[Any, None, dict, Any, Any]:
        """The step, with the slip."""
        del args, made_jump
        late = jnp.where(self.chosen == len(self.slips), t1 - t0, jnp.zeros_like(t0))
        y1, memory = Mutated(_Step(self.solver), self.slips, self.chosen)(terms, t0 + late, t1 + late, y0, solver_state)
        return y1, None, {"y0": y0, "y1": y1}, memory, dfx.RESULTS.successful

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        """The solver's."""
        return self.solver.func(terms, t0, y0, args)


SOLVERS: Mapping[str, tuple[Any, int, bool]] = {
    "Euler": (dfx.Euler(), 1, False),
    "Heun": (dfx.Heun(), 2, False),
    "Midpoint": (dfx.Midpoint(), 2, False),
    "Bosh3": (dfx.Bosh3(), 3, False),
    "DDIM": (DDIM(), 1, True),
    "EDMHeun": (EDMHeun(), 2, False),
    "DPMSolver2S": (DPMSolver2S(), 2, True),
    "DPMSolver2M": (DPMSolver2M(), 2, True),
    "ExponentialAB": (ExponentialAB(2), 2, True),
}
"""Solver, order, and whether it is exact where all data are one point."""
STEPS = (8, 16, 32, 64)


def _of_solver(name: str) -> Family:
    solver, order, exact = SOLVERS[name]
    terms = ProbabilityFlow(DiffusionPath(VE(), _mixed(jnp.asarray([[0.5, -1.0], [-1.5, 0.25]])))).terms()
    t0, t1, y = jnp.asarray(0.0), jnp.asarray(0.5), jnp.asarray([1.0, 2.0])
    memory = solver.init(terms, t0, t1, y, None)
    slips = slips_of(_Step(solver), terms, t0, t1, y, memory, most=MOST)

    def asked(drawn: Any, k: int) -> None:
        del drawn
        assert_sampler_consistent(
            SlippedSolver(solver, slips, k), order=order, steps=STEPS, exact_on_point=exact
        )  # fmt: skip

    def values(drawn: Any, k: int) -> Any:
        del drawn
        wrong, state, found = SlippedSolver(solver, slips, k), memory, []
        for start in (-1.0, -0.5, 0.0, 0.5):
            ends = jnp.asarray(start), jnp.asarray(start + 0.5)
            y1, _, _, state, _ = wrong.step(terms, *ends, y, None, state, False)
            found.append(y1)
        return found

    told = (*_words(slips), ("next step", "the times of the next step"))
    return Family("sampler", name, told, st.just(None), asked, values, lambda _: None)


# --------------------------------------------------------------------------------------- scores


class _Score(eqx.Module):
    """``(m(y) - y)/s^2`` of a denoiser."""

    denoise: Callable
    s: Array

    def __call__(self, y: Array) -> Array:
        return (self.denoise(y, self.s) - y) / self.s**2


class _LogZ(eqx.Module):
    """``-log Z`` of a law at a noise level."""

    law: Any
    s: Array

    def __call__(self, y: Array) -> Array:
        return -self.law.moments(y, self.s).log_z


class _Ideal(eqx.Module):
    """What a model predicts that knows the answer."""

    law: Any
    of: Parametrisation = eqx.field(static=True)

    def __call__(self, x: Array, t: Array) -> Array:
        alpha, sigma = 1 - t, t
        m = self.law.denoise(x / alpha, sigma / alpha)
        return convert(m, x, alpha, sigma, of="x0", to=self.of, slopes=(-jnp.ones_like(t), jnp.ones_like(t)))


PREDICTED: tuple[Parametrisation, ...] = ("eps", "score", "v", "velocity")
SCORES: Mapping[str, Callable[[Array], tuple[Callable, Any]]] = {
    "Empirical": lambda xi: (Empirical(xi).denoise, Empirical(xi)),
    "GaussianMixture": lambda xi: (_mixed(xi).denoise, _mixed(xi)),
    **{
        f"Prediction[{of}]": lambda xi, of=of: (_predicted(Empirical(xi), of).denoise, Empirical(xi))
        for of in PREDICTED
    },
}


def _predicted(law: Empirical, of: Parametrisation) -> Prediction:
    return Prediction(_Ideal(law, of), of, FlowMatching())


def _mixed(xi: Array) -> GaussianMixture:
    return GaussianMixture(xi, jnp.arange(1, len(xi) + 1, dtype=xi.dtype) / 4, jnp.ones_like(xi[:, 0]) / len(xi))


def _of_score(name: str) -> Family:
    s = jnp.asarray(0.75)
    xi = jnp.asarray([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]])
    slips = slips_of(_Score(SCORES[name](xi)[0], s), xi[0], most=MOST)

    def wrong(drawn: Any, k: int) -> tuple[Callable, Any]:
        denoise, law = SCORES[name](jnp.asarray(drawn[0]))
        return Mutated(_Score(denoise, s), slips, k), law

    def asked(drawn: Any, k: int) -> None:
        score, law = wrong(drawn, k)
        assert_score_is_gradient(score, drawn[2], energy=_LogZ(law, s))

    def values(drawn: Any, k: int) -> Any:
        return jax.vmap(wrong(drawn, k)[0])(jnp.asarray(drawn[2]))

    return Family("score", name, _words(slips), drawn_case("log_sum_exp, diagonal", SHAPES), asked, values, _size)


LONG = ("free_energy, mixture",)  # each slip is a program of its own here, and these take half a minute to compile
KINDS = (*PARTS, "slip", "schedule", "sampler", "score")


def families(kinds: Sequence[str] = KINDS) -> Iterator[Family]:
    """The families of some kinds, in a fixed order."""
    for name in SUBJECTS:
        made = [_of_part(name, part) for part in PARTS if part in kinds]
        yield from (family for family in made if family is not None)
        if "slip" in kinds and name not in LONG:
            yield _slipped(name)
    if "schedule" in kinds:
        for kind, function in itertools.product(FAMILIES, FUNCTIONS):
            yield _of_schedule(kind, function)
    if "sampler" in kinds:
        yield from map(_of_solver, SOLVERS)
    if "score" in kinds:
        yield from map(_of_score, SCORES)
