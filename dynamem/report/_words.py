"""The words of the report: names of what an audit runs, as a textbook would put them, and how numbers are written."""

import math
from collections.abc import Mapping
from typing import Any, SupportsFloat


ENERGIES = {
    "own": ("own energy", "the energy of the system itself"),
    "density": (
        "density energy, own coordinates",
        "−log of the probability density of x, the state that the schedule works with",
    ),
    "density_canonical": ("density energy, canonical coordinates", "−log of the probability density of y = x/α"),
    "hopfield": ("Hopfield energy", "−log Z, the density energy of y without its Gaussian factor"),
    "frozen": ("frozen free energy", "the free energy with its noise level held at s = 1 while the flow moves on"),
    "free": ("free energy V", "V = −s² log Z, the Helmholtz free energy of retrieval at temperature s²"),
    "free_churn": ("free energy with churn", "V + ½ ζ D s², with ζ the churn of the reverse SDE and D the dimension"),
}
DYNAMICS = {
    "gradient": "Memories and systems of your own",
    "probability_flow": "Probability flow (an ODE from noise to data)",
    "reverse_sde": "Reverse SDE (noisy sampling from noise to data)",
}
SHORT = {"gradient": "memories and own systems", "probability_flow": "probability flow", "reverse_sde": "reverse SDE"}
STATEMENTS = {
    "pathwise": "no step of a run raises the energy",
    "mean": "no step raises the energy on average over many noisy runs",
    "rate": "the exact rate of change (the generator) is never positive",
}
COUNTED = {
    "pathwise": "steps of all runs whose energy rose by more than rounding can explain",
    "mean": "steps whose mean change is positive beyond statistical doubt",
    "rate": "probed states (searches, for a system of your own) where the rate is positive beyond rounding",
}
VERDICTS = {
    "broken": "the energy rises somewhere, and a witness shows where",
    "failed": "the computation failed or the question has no answer; the reason is given",
    "undecided": "the numbers decide neither way",
    "holds": "no rise was seen in what was tried: evidence, not a proof",
    "certified": "shown with rigorous arithmetic on a stated region",
    "proved": "proved symbolically",
}
SCHEDULES = {"SubVP": "sub-VP", "Cosine": "cosine", "FlowMatching": "flow matching"}
SOLVERS = {"EulerMaruyama": "Euler–Maruyama"}
PARTS = {
    "schedule": "the energy itself changes with time while the state is held",
    "dissipation": "the part of the motion that goes down the gradient",
    "drift": "the rest of the deterministic motion",
    "ito": "from the curvature of the energy and the noise",
    "martingale": "the noise that this step happened to draw, zero on average",
    "discretisation": "what the numerical step did beyond the exact flow",
}


def energy_name(energy: str) -> str:
    """What an energy is called in a heading."""
    return ENERGIES.get(energy, (energy,))[0]


def schedule_name(schedule: str | None) -> str:
    """What a schedule is called."""
    return "" if schedule is None else SCHEDULES.get(schedule, schedule)


def method(row: Mapping[str, Any]) -> str:
    """The solver of a row with its number of steps, or what stands in its place."""
    if row["solver"] is None:
        return "exact rate"
    solver = SOLVERS.get(row["solver"], row["solver"])
    steps = "adaptive" if row["steps"] is None else f"{row['steps']} steps"
    return f"{solver}, {steps}" + (", in the mean" if row["statement"] == "mean" else "")


def short_method(row: Mapping[str, Any]) -> str:
    """`method` for the narrow margin of a figure."""
    if row["solver"] is None:
        return "exact rate"
    solver = {"EulerMaruyama": "Euler–M."}.get(row["solver"], row["solver"])
    steps = "adaptive" if row["steps"] is None else f"{row['steps']}"
    return clipped(f"{solver} {steps}", 18) + (" (mean)" if row["statement"] == "mean" else "")


def clipped(text: str, length: int) -> str:
    """The text, cut to a length."""
    return text if len(text) <= length else text[: length - 1] + "…"


def number(value: SupportsFloat | None, digits: int = 4) -> str:
    """A number for a table; a value that is missing or undefined says so."""
    if value is None:
        return "none"
    value = float(value) + 0.0  # no minus zero
    if math.isnan(value):
        return "undefined"
    return f"{value:.{digits}g}".replace("-", "−").replace("inf", "∞")


def share(value: float | None) -> str:
    """A share as a percentage in which neither a few nor all but a few disappear."""
    if value is None or math.isnan(value):
        return "none"
    if 0 < value < 0.01:
        return "<1 %"
    if 0.99 < value < 1:
        return ">99 %"
    return f"{100 * value:.0f} %"


def listed(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 2 else words)


def counted(count: int, noun: str) -> str:
    """1 row, 2 rows, 2 trajectories."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count} {noun if count == 1 else plural}"
