"""Names of what the audit runs, without importing anything heavy."""

from ._samplers import FACTS


SCHEDULES = ("VP", "SubVP", "VE", "Cosine", "EDM", "FlowMatching")
LEARNED = "learned"
"""The denoiser that comes with dynamem: for the digits in [0, 1] only, so that other data leave it out."""
MEMORIES = {
    "log_sum_exp": "modern Hopfield network: gradient flow of |x|^2/2 - LSE/beta",
    "dense_memory": "dense memory with a rectified cube, gradient flow on the unit sphere",
    "hopfield_1984": "continuous Hopfield network with Hebbian couplings, tau du/dt = -u + W g(u)",
    "sparse_memory": "Fenchel-Young memory of 64 patterns with sparsemax: weights of exact zeros",
    "nearest_pattern": "universal Hopfield network of dot product and argmax, patterns on the unit sphere",
    "epanechnikov": "log-sum-ReLU memory of 64 patterns: a state is drawn to the centroid of those in reach",
    "random_features": "four patterns summed up in one vector of random features: log-sum-exp without its patterns",
    "krotov_hopfield": "two-layer memory of 64 patterns: visible units, and hidden ones with softmax, faster",
    "hierarchical": "three layers of identity, tanh and softmax with random synapses (HAM)",
    "energy_transformer": "attention and a rectified memory on layer-normed tokens, the parts of a pattern",
    "oscillators": "oscillators in the plane with Hebbian couplings: phases 0 and pi are the patterns' signs",
    LEARNED: "a network trained on the digits, its probability flow judged by the free energy of the digits",
}
QUICK = ("log_sum_exp", "dense_memory", "hopfield_1984")
"""Memories of a quick audit."""
DYNAMICS = {
    "probability_flow": "the ODE that carries noise to data",
    "reverse_sde": "the reverse SDE with churn 1",
}
ENERGIES = {
    "own": "a memory's own energy",
    "density": "-log density of the state x, in the schedule's own coordinates",
    "density_canonical": "-log density of y = x/alpha",
    "hopfield": "-log Z, the density without its Gaussian factor",
    "frozen": "the free energy with its noise level held at s = 1",
    "free": "V = -s^2 log Z, the free energy",
    "free_churn": "V + churn D s^2/2",
}
SOLVERS = {
    "Tsit5": "adaptive, rtol 1e-8",
    "Euler": "in the schedule's time t, 10 and 50 steps",
    "Heun": "in the schedule's time t, 10 and 50 steps",
    "EulerMaruyama": "in the schedule's time t, 10 and 50 steps",
} | {name: fact.line for name, fact in FACTS.items()}
STEPS = (10, 50)
PROBLEMS = {
    "memory": "retrieval in a modern Hopfield network: gradient flow of the log-sum-exp energy on the patterns",
    "memory_stiff": "a stiff gradient flow",
    "flow_digits": "the probability flow of the patterns, from noise to data",
    "flow_mixture": "the probability flow of a mixture of Gaussians",
    "reverse_sde": "the reverse SDE of a mixture of Gaussians",
    "linear": "a linear system with an exact solution",
    "geometric": "geometric Brownian motion",
}
"""What `dynamem compare` runs."""


def system_names(*, quick: bool = False, digits: bool = True) -> list[str]:
    """Names that ``--system`` takes, in the order of the audit; those that run with ``--quick``, and on other data."""
    return [
        *(name for name in (QUICK if quick else MEMORIES) if digits or name != LEARNED),
        *(f"{dynamics}/{schedule}" for dynamics in DYNAMICS for schedule in SCHEDULES),
    ]
