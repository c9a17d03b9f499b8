"""Which methods a problem is solved with: those of Diffrax that apply, ours, and SciPy's as an outside reference."""

import diffrax as dfx
import optimistix as optx

from ..energies import LogSumExp
from ..flows import GradientFlow, ProbabilityFlow, ReverseSDE
from ..solvers import (
    DDIM,
    DDPM,
    ConvexSplitting,
    DiscreteGradient,
    DPMSolver2M,
    DPMSolver2S,
    DPMSolverSDE,
    EDMHeun,
    EulerAncestral,
    ExponentialAB,
    Proximal,
    Relaxed,
)
from ._records import Method, Problem


LADDER = (8, 16, 32, 64, 128, 256)
SHORT = (5, 10, 20, 40, 80)
TOLERANCES = (1e-3, 1e-5, 1e-7)
EXPLICIT = {
    "Euler": dfx.Euler(), "Heun": dfx.Heun(), "Midpoint": dfx.Midpoint(), "Ralston": dfx.Ralston(),
    "Bosh3": dfx.Bosh3(), "Tsit5": dfx.Tsit5(), "Dopri5": dfx.Dopri5(), "Dopri8": dfx.Dopri8(),
}  # fmt: skip
NEWTON = optx.Newton(rtol=1e-8, atol=1e-10)
"""For implicit solvers with fixed steps, whose tolerances nothing else sets."""
IMPLICIT = {
    "ImplicitEuler": dfx.ImplicitEuler(root_finder=NEWTON),
    "Kvaerno3": dfx.Kvaerno3(),
    "Kvaerno5": dfx.Kvaerno5(),
}
STABLE = {
    "DiscreteGradient": DiscreteGradient(), "Proximal": Proximal(), "Relaxed Bosh3": Relaxed(dfx.Bosh3()),
}  # fmt: skip
"""Ours for gradient flows, whose energy they cannot raise."""
SPLIT = {"ConvexSplitting": ConvexSplitting(convex=1.0)}
"""The same for the energy of a log-sum-exp memory."""
SAMPLERS = {
    "DDIM": DDIM(), "EDMHeun": EDMHeun(), "DPMSolver2S": DPMSolver2S(), "DPMSolver2M": DPMSolver2M(),
    "DPMSolver2M limited": DPMSolver2M(limited=True),
    "ExponentialAB 2": ExponentialAB(2), "ExponentialAB 3": ExponentialAB(3),
}  # fmt: skip
USUAL = ("DDIM", "EDMHeun", "DPMSolver2S", "DPMSolver2M", "ExponentialAB 3")
"""Those that run by default, the first also on Karras's grid."""
NOISY = {"DDPM": DDPM(), "EulerAncestral": EulerAncestral(), "DPMSolverSDE": DPMSolverSDE()}
STOCHASTIC = {
    "EulerMaruyama": (dfx.Euler(), 1.0), "Heun": (dfx.Heun(), 1.0), "SEA": (dfx.SEA(), 1.0),
    "SRA1": (dfx.SRA1(), 1.5), "ShARK": (dfx.ShARK(), 1.5),
}  # fmt: skip
ITO = {"EulerMaruyama": (dfx.Euler(), 0.5), "ItoMilstein": (dfx.ItoMilstein(), 1.0)}


BRIEF = {"memory": ("Euler", "Heun", "Bosh3", "Tsit5", "Dopri8"), "stiff": ("Euler", "Heun", "Tsit5"),
         "diffusion": ("Heun", "Tsit5"), "linear": ("Euler", "Heun", "Bosh3", "Tsit5", "Dopri8"),
         "noise": ("EulerMaruyama", "Heun", "ShARK")}  # fmt: skip
"""Diffrax's solvers with fixed steps that run by default, for problems with a tag, the last that it has."""


def methods_for(problem: Problem, *, every: bool = False) -> list[Method]:
    """Methods for a problem: by whether it has noise, is stiff, or is the probability flow on clock "lam".

    Strong orders are those of additive noise for `ReverseSDE`, of general noise otherwise. With ``every`` all of
    Diffrax's solvers with fixed steps, of `STABLE` and `SAMPLERS` are there, without it those of `BRIEF` for problems
    that have one of its tags, `DiscreteGradient` where nothing is stiff, those of `USUAL`, and fewer adaptive ones.
    """
    flow, brief = problem.flow, [names for tag, names in BRIEF.items() if tag in problem.tags and not every]
    few = brief[-1] if brief else None
    if isinstance(flow, ReverseSDE):
        noisy = [Method(one, SHORT, name=name, order=1.0, tags=("sampler",)) for name, one in NOISY.items()]
        return [*noisy, *_stochastic({name: one for name, one in STOCHASTIC.items() if few is None or name in few})]
    if "noise" in problem.tags or isinstance(flow, dfx.MultiTerm):
        return _stochastic(ITO)
    stiff, diffusion = "stiff" in problem.tags, isinstance(flow, ProbabilityFlow)
    fixed = [
        Method(one, LADDER, name=name, tags=("explicit",))
        for name, one in EXPLICIT.items()
        if few is None or name in few
    ]
    names = ("Tsit5",) if diffusion and not every else ("Bosh3", "Tsit5")
    adaptive = [_adaptive(name, EXPLICIT[name], "explicit") for name in names]
    ladder = SHORT if brief else LADDER
    implicit = [Method(IMPLICIT["ImplicitEuler"], ladder, name="ImplicitEuler", tags=("implicit",))]
    if diffusion and not every:
        implicit = []
    if every or stiff or "linear" in problem.tags:
        implicit.append(_adaptive("Kvaerno5", IMPLICIT["Kvaerno5"], "implicit"))
    if isinstance(flow, GradientFlow):
        stable = STABLE | (SPLIT if isinstance(flow.energy, LogSumExp) else {})
        stable = {name: one for name, one in stable.items() if every or (name == "DiscreteGradient" and not stiff)}
        implicit += [Method(one, SHORT, name=name, tags=("implicit", "stable")) for name, one in stable.items()]
    kind = "Radau" if stiff else "RK45"
    outside = [Method(f"scipy:{kind}", tolerances=TOLERANCES, name=f"scipy {kind}", tags=("scipy", "adaptive"))]
    return [*(_samplers(problem, every=every) if diffusion else []), *fixed, *adaptive, *implicit, *outside]


def _adaptive(name: str, solver: dfx.AbstractSolver, tag: str) -> Method:
    return Method(solver, tolerances=TOLERANCES, name=f"{name} adaptive", tags=(tag, "adaptive"))


def _stochastic(solvers: dict[str, tuple[dfx.AbstractSolver, float]]) -> list[Method]:
    return [Method(one, LADDER, name=name, order=order, tags=("explicit",)) for name, (one, order) in solvers.items()]


def _samplers(problem: Problem, *, every: bool) -> list[Method]:
    """Samplers on uniform steps of lam, and on Karras's grid where the problem has it."""
    names = SAMPLERS if every else USUAL
    found = [Method(SAMPLERS[name], SHORT, name=name, tags=("sampler",)) for name in names]
    if "karras" in problem.grids:
        found += [
            Method(SAMPLERS[name], SHORT[2:3], "karras", name=f"{name}, karras", tags=("sampler",))
            for name in (("DDIM", "DPMSolver2M", "EDMHeun") if every else USUAL[:1])
        ]
    return found
