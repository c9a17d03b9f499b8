"""What each sampler does to the free energy ``V = -s^2 log Z``: a theorem, or a counterexample. No JAX here.

A step of a sampler goes from noise level s to ``s+ = rho s``. Every counterexample stands in the tests with its
numbers: two patterns and one coordinate (for EDM's Heun near its bound three and two), and a few steps. "None found" is
a search over two patterns, no proof.
"""

from typing import NamedTuple


class Fact(NamedTuple):
    """One sampler.

    Attributes:
        what: the algorithm.
        falls: which energy never rises, where, and by which theorem; empty if none is known.
        rises: which energy rises, where; empty if none does.
    """

    what: str
    falls: str
    rises: str

    @property
    def line(self) -> str:
        """All of it in one line."""
        return "; ".join(part for part in self if part)


FACTS = {
    "DDIM": Fact("DDIM(eta), exponential Euler", "V never rises at eta = 0 (D7)", "along paths with noise it can"),
    "DPMSolver2S": Fact("DPM-Solver++(2S), two stages", "V never rises for 1/2 <= r <= 1 (D13)", "it can for r = 0.2"),
    "EDMHeun": Fact(
        "EDM's Heun with churn",
        "without churn V never rises for rho >= 0.2071 (D13)",
        "it can for every smaller rho, and with churn V + D s^2/2 can rise in mean",
    ),
    "DPMSolver2M": Fact("DPM-Solver++(2M), multistep", "", "V can rise at every rho < 1/3 (D20); none found above"),
    "ExponentialAB": Fact(
        "exponential Adams-Bashforth, DEIS",
        "",
        "V can rise at order 2 for every rho < 1/e (D20), at 3 for 0.7, at 4 for 0.9; none found above 1/e and 0.8",
    ),
    "DDPM": Fact("DDPM's ancestral sampling", "V + D s^2/2 never rises in mean (D14)", "V and its sum can along paths"),
    "EulerAncestral": Fact(
        "Euler ancestral(eta)", "V + eta^2 D s^2/2 never rises in mean (D14)", "V and its sum can along paths"
    ),
    "DPMSolverSDE": Fact(
        "SDE-DPM-Solver++(2M), multistep", "", "V + D s^2/2 can rise in mean, given a past that lies elsewhere"
    ),
    "PredictorCorrector": Fact(
        "predictor-corrector",
        "without corrections V + D s^2/2 never rises in mean (D14)",
        "a correction, at fixed noise, can raise it",
    ),
    "AnnealedLangevin": Fact(
        "annealed Langevin dynamics", "", "V + D s^2/2 can rise in mean near a memory, as noise is only walked off"
    ),
    "BlindSampler": Fact(
        "Kadkhodaie and Simoncelli's blind sampler",
        "where the residual is the noise, its expected square falls by (1 - beta h)^2 a step",
        "V is not asked, as no noise level is known",
    ),
}
