"""What each sampler does to the free energy ``V = -s^2 log Z``: a theorem, or a counterexample. No JAX here.

A step of a sampler goes from noise level s to ``s+ = rho s``. A counterexample stands in the tests with its numbers:
few patterns, one coordinate, few steps. "None found" is a search over two patterns, no proof.
"""

from typing import NamedTuple


class Fact(NamedTuple):
    """One sampler.

    Attributes:
        what: the algorithm.
        energy: "V" along each path, or "V + D s^2/2" in mean over the noise.
        falls: where that energy does not rise, and by which theorem; empty where that is not known.
        rises: where it does; empty where it never does.
    """

    what: str
    energy: str
    falls: str
    rises: str

    @property
    def line(self) -> str:
        """All of it in one line."""
        parts = [self.what, *(f"{self.energy} {verb} {where}" for verb, where in self._said() if where)]
        return "; ".join(parts)

    def _said(self) -> tuple[tuple[str, str], ...]:
        return ("never rises", self.falls), ("can rise", self.rises)


V, MEAN = "V", "V + D s^2/2 in mean"
FACTS = {
    "DDIM": Fact("DDIM(eta), exponential Euler", V, "for eta = 0, at any step (D7)", "along single paths for eta > 0"),
    "DPMSolver2S": Fact("DPM-Solver++(2S), two stages", V, "for 1/2 <= r <= 1, at any step (D13)", "for r = 0.05"),
    "EDMHeun": Fact(
        "EDM's Heun with churn", V, "without churn for rho >= 0.2071 (D13)", "for rho = 0.195, and with churn in mean"
    ),
    "DPMSolver2M": Fact("DPM-Solver++(2M), multistep", V, "", "for rho = 0.33; none found for rho >= 0.4"),
    "ExponentialAB": Fact(
        "exponential Adams-Bashforth, DEIS",
        V,
        "",
        "for rho = 0.36 at order 2, 0.7 at 3, 0.9 at 4; none found for rho >= 0.4 at order 2, 0.8 at 3",
    ),
    "DDPM": Fact("DDPM's ancestral sampling", MEAN, "with both variances, at any step (D14)", "along single paths"),
    "EulerAncestral": Fact(
        "Euler ancestral(eta)", "V + eta^2 D s^2/2 in mean", "at any step (D14)", "along single paths"
    ),
    "DPMSolverSDE": Fact("SDE-DPM-Solver++(2M), multistep", MEAN, "", "given a past that lies elsewhere"),
    "PredictorCorrector": Fact(
        "predictor-corrector", MEAN, "without corrections, at any step (D14)", "by a correction, at fixed noise"
    ),
    "AnnealedLangevin": Fact("annealed Langevin dynamics", MEAN, "", "near a memory, at any step"),
    "BlindSampler": Fact(
        "Kadkhodaie & Simoncelli's blind sampler",
        "the expected squared residual",
        "where the residual is the noise: it falls by (1 - beta h)^2 a step",
        "elsewhere; V is not asked, as there is no noise level",
    ),
}
