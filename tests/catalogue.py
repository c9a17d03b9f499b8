"""Every concrete leaf of the package, built small: D = 3 coordinates, N = 5 patterns.

`missing` finds the leaves that a table forgets; `test_contract` runs it and every entry.
"""

import importlib
import inspect
import pkgutil

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
import pytest

import dynamem as dm
from dynamem.diffusion import Point
from dynamem.lyapunov import dynamics_of
from dynamem.survey import Held
from dynamem.testing._families import Kept, SlippedSolver


RNG = np.random.default_rng(7)
XI = jnp.asarray(RNG.normal(size=(5, 3)))
WEIGHTS = jnp.asarray([0.1, 0.4, 0.2, 0.0, 0.3])
X = jnp.asarray(RNG.normal(size=(4, 3)))
COUPLINGS = jnp.asarray(0.5 * (lambda a: a + a.T)(RNG.normal(size=(3, 3))))
BIAS = jnp.asarray([0.3, -0.2, 0.1])
SCALING = jnp.asarray([1.0, 2.0, 0.5])
TURN = jnp.asarray([[0.0, 1.0, -0.3], [-1.0, 0.0, 0.5], [0.3, -0.5, 0.0]])
SKEWED = jnp.asarray([[1.0, 0.4, 0.0], [-0.4, 2.0, 0.1], [0.0, -0.1, 0.5]])

SCHEDULES = {
    "VP": dm.VP,
    "SubVP": dm.SubVP,
    "VE": dm.VE,
    "Cosine": dm.Cosine,
    "EDM": dm.EDM,
    "FlowMatching": dm.FlowMatching,
    "Trigonometric": dm.Trigonometric,
}
ALL = tuple(build() for build in SCHEDULES.values())


def any_schedule(index=0):
    return dm.AnySchedule(ALL, jnp.asarray(index))


LEAF_SCHEDULES = {
    **SCHEDULES,
    "AnySchedule": lambda: any_schedule(3),
    "BetaTable": lambda: dm.BetaTable.linear(47, 1e-3, 0.2),
    "BetaTable[zero terminal SNR]": lambda: dm.BetaTable.cosine(47).zero_terminal_snr(),
}

LAWS = {
    "Empirical": lambda: dm.Empirical(XI),
    "Empirical[weights]": lambda: dm.Empirical(XI, WEIGHTS),
    "GaussianMixture": lambda: dm.GaussianMixture(XI, jnp.asarray([0.5, 0.0, 1.2, 0.3, 0.7]), WEIGHTS),
}


class Ideal(eqx.Module):
    """The ideal prediction of a parametrisation, made from a law: a model that knows the answer."""

    of: str = eqx.field(static=True)
    schedule: dm.AbstractSchedule = eqx.field(default_factory=dm.FlowMatching)
    law: dm.AbstractLaw = eqx.field(default_factory=lambda: dm.Empirical(XI, WEIGHTS))

    def __call__(self, x, t):
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        slopes = self.schedule.alpha_dot(t), self.schedule.sigma_dot(t)
        m = self.law.mean(Point(x, alpha, sigma))
        return dm.convert(m, x, alpha, sigma, of="x0", to=self.of, slopes=slopes)


class IdealEDM(eqx.Module):
    """The network that EDM's preconditioning turns into the ideal denoiser: it undoes ``c_in`` and ``c_noise``."""

    law: dm.AbstractLaw = eqx.field(default_factory=lambda: dm.Empirical(XI, WEIGHTS))

    def __call__(self, x, c_noise):
        s = jnp.exp(4 * c_noise)
        alpha, sigma = 1 / jnp.hypot(s, 0.5), s / jnp.hypot(s, 0.5)  # c_in y = alpha x_0 + sigma eps
        return dm.convert(self.law.mean(Point(x, alpha, sigma)), x, alpha, sigma, of="x0", to="edm")


def _tanh(x, t):
    return np.tanh(x) * t[:, None]


def _tanh_jvp(x, t, dx, dt):
    return t[:, None] * dx / np.cosh(x) ** 2 + np.tanh(x) * dt[:, None]


def _tanh_vjp(x, t, g):
    return t[:, None] * g / np.cosh(x) ** 2, (np.tanh(x) * g).sum(axis=1)


def host(**changes):
    return dm.HostModel(**{"function": _tanh, "jvp": _tanh_jvp, "vjp": _tanh_vjp, **changes})


def _log_bayes(y, s):
    """``log p(c | y, s)`` by Bayes' rule, up to a constant."""
    return dm.Empirical(XI[:2]).moments(y, s).log_z - dm.Empirical(XI, WEIGHTS).moments(y, s).log_z


def guided(weight=2.0):
    return dm.ClassifierFreeGuidance(dm.Empirical(XI[:2]), dm.Empirical(XI, WEIGHTS), weight)


def classified(weight=2.0):
    return dm.ClassifierGuidance(dm.Empirical(XI, WEIGHTS), _log_bayes, weight)


# Denoisers that are not laws, on D = 3.
DENOISERS = {
    **{
        f"Prediction[{of}]": lambda of=of: dm.Prediction(Ideal(of), of, dm.FlowMatching())
        for of in ("x0", "eps", "score", "v", "velocity")
    },
    "Prediction[edm]": lambda: dm.Prediction(IdealEDM(), "edm"),
    "Prediction[host]": lambda: dm.Prediction(host(), "v", dm.VP()),
    "ClassifierFreeGuidance": guided,
    "ClassifierGuidance": classified,
    "Kept": lambda: Kept(dm.Empirical(XI, WEIGHTS)),
}
# Those that do not know the pattern where alpha = 0: refused there, or NaN. (VP has no such level.)
BLIND = {"Prediction[eps]", "Prediction[score]", "Prediction[host]", "ClassifierGuidance"}
# Learned denoisers, on D = 3; images are square, on D = 4.
ROOM = {"centre": jnp.asarray([0.3, -0.1, 0.2]), "sigma_data": 0.8, "key": jr.key(3)}
NETWORKS = {
    "MLPDenoiser": lambda: dm.MLPDenoiser(3, 8, 2, **ROOM),
    "UNetDenoiser": lambda: dm.UNetDenoiser(4, 2, key=jr.key(3)),
    "EnergyDenoiser": lambda: dm.EnergyDenoiser(3, 8, 2, **ROOM),
    "ConcaveDenoiser": lambda: dm.ConcaveDenoiser(3, 5, 4, **ROOM),
}


def path(schedule=None, law=None):
    law = dm.Empirical(XI, WEIGHTS) if law is None else law
    return dm.DiffusionPath(dm.VP() if schedule is None else schedule, law)


def user_terms(noisy):
    drift = dfx.ODETerm(_pull)
    if not noisy:
        return drift
    return dfx.MultiTerm(drift, dfx.ControlTerm(_columns, dfx.UnsafeBrownianPath((2,), jr.key(0))))


def _pull(t, x, args):
    return -x


def _columns(t, x, args):
    return 0.1 * jnp.ones((3, 2)) + 0.2 * x[:, None] * jnp.asarray([[1.0, 0.5]])


def memory_flow(preconditioner=None):
    return dm.GradientFlow(dm.LogSumExp(XI, 1.5), preconditioner)


def _bowl(t, x):
    return jnp.sum(jnp.cosh(x)) + 0.5 * (x @ x)


def _cube(z):
    return z**3


def _soft(x):
    return jnp.arctan(x)


def _soft_maximum(x):
    return jnp.sum(jnp.logaddexp(x, -x)) + 0.5 * jnp.sum(x) ** 2


LAGRANGIANS = {
    "Elementwise[tanh]": lambda: dm.Elementwise("tanh", beta=2.0),
    "Elementwise[repu]": lambda: dm.Elementwise("repu", n=3),
    "Elementwise[exp]": lambda: dm.Elementwise("exp", beta=0.5),
    "Softmax": lambda: dm.Softmax(1.5),
    "SphericalNorm": lambda: dm.SphericalNorm(0.7, 0.1),
    "LayerNorm": lambda: dm.LayerNorm(0.7, BIAS, 0.1),
    "Lagrangian": lambda: dm.Lagrangian(_soft_maximum),
    "LayersLagrangian": lambda: three_layers().lagrangian,
}


def three_layers():
    """A ring of three units of one layer each, with three time constants."""
    kinds = zip("abc", ("tanh", "relu", "sigmoid"), SCALING, strict=True)
    layers = {name: dm.Layer(1, kind, BIAS[:1], tau) for name, kind, tau in kinds}
    dense = [dm.DenseSynapse(COUPLINGS[i : i + 1, i : i + 1], pair) for i, pair in enumerate(("ab", "bc", "ca"))]
    return dm.HAM(layers, dense)


def transformer(**how):
    """One token of three coordinates that attends to itself, and five memories."""
    keys, queries = np.random.default_rng(3).normal(size=(2, 2, 2, 3))
    how = {"mask": np.ones((1, 1), bool), "eps": 0.1, **how}
    return dm.EnergyTransformer(keys, queries, XI, tokens=1, **how)


def _product(a, b):
    return a[0] * b[0] ** 2


SYNAPSES = {
    "Synapse": lambda: dm.Synapse(_product, ("a", "b")),
    "DenseSynapse": lambda: dm.DenseSynapse(COUPLINGS[:1, :1], ("a", "b")),
    "ConvSynapse": lambda: dm.ConvSynapse(COUPLINGS[None, :1], ("a", "b")),
    "AttentionSynapse": lambda: transformer().synapses[0],
    "MemorySynapse": lambda: transformer().synapses[1],
}

# name -> (builder, time at which it is tried); the clock of the path energies stands in the name.
ENERGIES = {
    "Hopfield": (lambda: dm.Hopfield(COUPLINGS, BIAS), 0.0),
    "Hopfield[sigmoid]": (lambda: dm.Hopfield(COUPLINGS, BIAS, "sigmoid"), 0.0),
    "Hopfield[function]": (lambda: dm.Hopfield(COUPLINGS, BIAS, _soft), 0.0),
    "HAM": (three_layers, 0.0),
    "HAM[transformer]": (transformer, 0.0),
    "Effective": (lambda: dm.Effective(dm.KrotovHopfield(XI, bias=BIAS), ("h",)), 0.0),
    "DenseMemory[power]": (lambda: dm.DenseMemory(XI, "power", 4), 0.0),
    "DenseMemory[rectified]": (lambda: dm.DenseMemory(XI, "rectified", 3), 0.0),
    "DenseMemory[exp]": (lambda: dm.DenseMemory(XI, "exp"), 0.0),
    "DenseMemory[function]": (lambda: dm.DenseMemory(XI, _cube), 0.0),
    "LogSumExp": (lambda: dm.LogSumExp(XI, 1.5), 0.0),
    "LogSumExp[no bias]": (lambda: dm.LogSumExp(XI, 1.5, norm_bias=False), 0.0),
    "BinaryHopfield": (lambda: dm.BinaryHopfield(COUPLINGS, BIAS), 0.0),
    "GolesEnergy": (lambda: dm.GolesEnergy(dm.BinaryHopfield(COUPLINGS, BIAS)), 0.0),
    "UniversalHopfield[dot, polynomial]": (
        lambda: dm.UniversalHopfield(XI, separation="polynomial", beta=0.7, n=3),
        0.0,
    ),
    "UniversalHopfield[euclidean, softmax]": (lambda: dm.UniversalHopfield(XI, "euclidean", beta=0.7), 0.0),
    "FenchelYoung[1.5]": (lambda: dm.FenchelYoung(XI, 1.5, 1.5), 0.0),
    "FenchelYoung[2, norm bias]": (lambda: dm.FenchelYoung(XI, 1.5, norm_bias=True), 0.0),
    "LogSumReLU": (lambda: dm.LogSumReLU(XI, 0.4, 0.1), 0.0),
    "RandomFeatureMemory": (lambda: dm.RandomFeatureMemory(XI, 0.5, 64, jr.key(3)), 0.0),
    "Oscillators": (lambda: dm.Oscillators(COUPLINGS[:1, :1], BIAS[None]), 0.0),
    "Oscillators[line]": (lambda: dm.Oscillators(COUPLINGS, BIAS[:, None]), 0.0),
    "DensityEnergy[lam]": (lambda: dm.DensityEnergy(path()), 0.3),
    "DensityEnergy[tau]": (lambda: dm.DensityEnergy(path(), clock="tau"), 0.7),
    "HopfieldEnergy[lam]": (lambda: dm.HopfieldEnergy(path()), 0.3),
    "HopfieldEnergy[tau]": (lambda: dm.HopfieldEnergy(path(), clock="tau"), 0.7),
    "FreeEnergy[lam]": (lambda: dm.FreeEnergy(path(), churn=0.5), 0.3),
    "FreeEnergy[tau]": (lambda: dm.FreeEnergy(path(law=LAWS["GaussianMixture"]()), clock="tau"), 0.7),
    "GuidedEnergy[lam]": (lambda: dm.GuidedEnergy(path(law=guided()), gauge=0.5), 0.3),
    "GuidedEnergy[tau]": (lambda: dm.GuidedEnergy(path(law=classified()), clock="tau"), 0.7),
    "LearnedEnergy": (lambda: dm.LearnedEnergy(NETWORKS["EnergyDenoiser"]()), 0.3),
    "LearnedEnergy[concave]": (lambda: dm.LearnedEnergy(NETWORKS["ConcaveDenoiser"]()), 0.3),
    "Frozen": (lambda: dm.Frozen(dm.FreeEnergy(path()), 0.4), 0.1),
}

# name -> (builder, (t0, t1)) of flows on D = 3
FLOWS = {
    "GradientFlow": (lambda: dm.GradientFlow(dm.LogSumExp(XI, 1.5)), (0.0, 1.0)),
    "GradientFlow[diagonal]": (lambda: dm.GradientFlow(dm.LogSumExp(XI, 1.5), SCALING), (0.0, 1.0)),
    "GradientFlow[matrix]": (lambda: dm.GradientFlow(dm.LogSumExp(XI, 1.5), SKEWED), (0.0, 1.0)),
    "GradientFlow[operator]": (
        lambda: dm.GradientFlow(dm.LogSumExp(XI, 1.5), lx.DiagonalLinearOperator(SCALING)),
        (0.0, 1.0),
    ),
    "LagrangianFlow": (lambda: dm.LagrangianFlow(dm.Hopfield(COUPLINGS, BIAS), SCALING), (0.0, 1.0)),
    "LagrangianFlow[HAM]": (lambda: dm.LagrangianFlow(three_layers()), (0.0, 1.0)),
    "OscillatorFlow": (
        lambda: dm.OscillatorFlow(dm.Oscillators(COUPLINGS[:1, :1], BIAS[None]), TURN[None]),
        (0.0, 1.0),
    ),
    "Langevin": (lambda: dm.Langevin(dm.LogSumExp(XI, 1.5), 0.3), (0.0, 1.0)),
    "ProbabilityFlow[lam]": (lambda: dm.ProbabilityFlow(path()), (-1.0, 0.5)),
    "ProbabilityFlow[tau]": (lambda: dm.ProbabilityFlow(path(), clock="tau"), (0.2, 0.8)),
    "ReverseSDE[lam]": (lambda: dm.ReverseSDE(path(), 0.5), (-1.0, 0.5)),
    "ReverseSDE[tau]": (lambda: dm.ReverseSDE(path(), 0.5, "tau"), (0.2, 0.8)),
    "Interpolant": (lambda: dm.Interpolant(XI, XI[:2] + 1.0, 0.8), (0.2, 0.8)),
    "Tracked": (lambda: dm.Tracked(path(law=dm.Empirical(XI[:, :2]))), (-1.0, 0.5)),
    "Tracked[hutchinson]": (
        lambda: dm.Tracked(path(law=dm.Empirical(XI[:, :1])), "hutchinson", 2, jr.key(0)),
        (-1.0, 0.5),
    ),
    "Held": (lambda: Held(dm.ProbabilityFlow(path()), 0.2), (0.0, 1.0)),
    "TermDynamics": (lambda: dynamics_of(user_terms(False)), (0.0, 1.0)),
    "TermDynamics[noise]": (lambda: dynamics_of(user_terms(True)), (0.0, 1.0)),
}

SAMPLERS = {
    "DDIM": lambda: dm.DDIM(),
    "DDIM[1]": lambda: dm.DDIM(1.0),
    "DDPM": lambda: dm.DDPM(),
    "DDPM[upper]": lambda: dm.DDPM("upper"),
    "EDMHeun": lambda: dm.EDMHeun(),
    "EDMHeun[churn]": lambda: dm.EDMHeun(2.0, 0.3, 50.0, 1.01, steps=4),
    "DPMSolver2M": lambda: dm.DPMSolver2M(),
    "DPMSolver2M[limited]": lambda: dm.DPMSolver2M(limited=True),
    "DPMSolver2S": lambda: dm.DPMSolver2S(),
    "DPMSolverSDE": lambda: dm.DPMSolverSDE(),
    "EulerAncestral": lambda: dm.EulerAncestral(),
    "EulerAncestral[1.5]": lambda: dm.EulerAncestral(1.5),
    "ExponentialAB[2]": lambda: dm.ExponentialAB(),
    "ExponentialAB[3]": lambda: dm.ExponentialAB(3),
    "ExponentialAB[4]": lambda: dm.ExponentialAB(4),
    "ExponentialAB[4, limited]": lambda: dm.ExponentialAB(4, limited=True),
    "PredictorCorrector": lambda: dm.PredictorCorrector(),
    "PredictorCorrector[ancestral]": lambda: dm.PredictorCorrector("ancestral", 0.1, corrections=2),
    "AnnealedLangevin": lambda: dm.AnnealedLangevin(repeats=3),
}


def stepped(sampler, where=None):
    """The flow that a sampler steps: of churn 0 if its terms need no noise."""
    where = path() if where is None else where
    still = sampler.churn(noisy=False)
    needs = float(sampler.S_churn) > 0 if isinstance(sampler, dm.EDMHeun) else float(still) > 0
    return dm.ReverseSDE(where, sampler.churn(noisy=True)) if needs else dm.ProbabilityFlow(where)


# name -> (builder, the flow that it steps)
SOLVERS = {name: (build, lambda build=build: stepped(build())) for name, build in SAMPLERS.items()} | {
    "SlippedSolver": (lambda: SlippedSolver(dm.DDIM(), (("sign", 0),), -1), lambda: dm.ProbabilityFlow(path())),
    "BlindSampler": (lambda: dm.BlindSampler(), lambda: dm.Langevin(dm.LogSumExp(XI, 1.5), 1.0)),
    "Stabilised": (lambda: dm.Stabilised(dm.EDMHeun(), path()), lambda: dm.ProbabilityFlow(path())),
    **{
        f"DiscreteGradient[{kind}]": (
            lambda kind=kind: dm.DiscreteGradient(dm.GradientFlow(dm.LogSumExp(XI, 1.5)), kind),
            lambda: dm.GradientFlow(dm.LogSumExp(XI, 1.5)),
        )
        for kind in ("gonzalez", "mean_value", "itoh_abe", "symmetric_itoh_abe")
    },
    "ConvexSplitting": (lambda: dm.ConvexSplitting(flow=memory_flow()), lambda: memory_flow()),
    "ConvexSplitting[function]": (
        lambda: dm.ConvexSplitting(_bowl, memory_flow(SKEWED)),
        lambda: memory_flow(SKEWED),
    ),
    "Proximal": (lambda: dm.Proximal(memory_flow(SCALING)), lambda: memory_flow(SCALING)),
    "Relaxed": (lambda: dm.Relaxed(dfx.Heun(), memory_flow().energy), lambda: memory_flow()),
    "Relaxed[Bosh3]": (lambda: dm.Relaxed(dfx.Bosh3(), memory_flow().energy), lambda: memory_flow()),
}

TABLES = {
    dm.AbstractEnergy: [build for build, _ in ENERGIES.values()],
    dm.AbstractLagrangian: list(LAGRANGIANS.values()),
    dm.AbstractSynapse: list(SYNAPSES.values()),
    dm.AbstractSchedule: list(LEAF_SCHEDULES.values()),
    dm.AbstractDenoiser: [*LAWS.values(), *DENOISERS.values(), *NETWORKS.values()],
    dm.AbstractFlow: [build for build, _ in FLOWS.values()],
    dfx.AbstractSolver: [build for build, _ in SOLVERS.values()],
}


def import_all():
    """Import every module of the package, so that every subclass is known."""
    for module in pkgutil.walk_packages(dm.__path__, "dynamem."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def leaves(base, package="dynamem"):
    """Names of the concrete subclasses of `base` that `package` defines."""
    found, queue = set(), [base]
    while queue:
        for child in queue.pop().__subclasses__():
            queue.append(child)
            ours = child.__module__ == package or child.__module__.startswith(f"{package}.")
            if ours and not inspect.isabstract(child) and not child.__name__.lstrip("_").startswith("Abstract"):
                found.add(child.__qualname__)
    return found


def missing(base, builders, package="dynamem"):
    """Leaves of `base` that no builder makes."""
    return leaves(base, package) - {type(build()).__qualname__ for build in builders}


def some_long(table):
    """Names for `pytest.mark.parametrize`: the first entry of each class, and further ones with the long tests."""
    seen, names = set(), []
    for name in table:
        kind = name.partition("[")[0]
        names.append(pytest.param(name, marks=pytest.mark.long) if kind in seen else name)
        seen.add(kind)
    return names
