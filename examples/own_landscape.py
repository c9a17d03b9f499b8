r"""The landscape of an energy of one's own: where states come to rest, from how far, and what else could be there.

Three patterns in the plane and ``E(x) = |x|^2/2 - log(sum_i exp(b xi_i . x))/b``, written here from scratch. At
``b = 4`` the fixed points that Newton finds from many starts are compared with those that interval arithmetic encloses,
which are certainly all in the box; then random states tell each memory's share of the box, and branches are followed
from one state of rest at small ``b`` to the three memories at large ``b``.

    python examples/own_landscape.py [picture.svg]
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

import dynamem as dm


PATTERNS = ((1.0, 0.1), (-0.6, 0.9), (-0.5, -0.8))
BETA, SPAN, BOX = 4.0, (0.5, 6.0), 1.5
COLOURS = ("#0b6e99", "#d1495b", "#7a5195")


class Energy(eqx.Module):
    """A log-sum-exp memory."""

    patterns: Any
    beta: Any

    def __call__(self, t: Any, x: Any) -> Any:
        """``E(x)``; the time is not used."""
        del t
        return 0.5 * (x @ x) - jax.nn.logsumexp(self.beta * (self.patterns @ x)) / self.beta


class Found(NamedTuple):
    """What the example computes."""

    points: dm.FixedPoints
    certain: dm.Enclosures
    shares: dm.Basins
    plane: dm.BasinMap
    diagram: dm.Diagram


def study(states: int, resolution: int) -> Found:
    """Fixed points by two ways, shares, a map of the basins, and the branches in b."""
    patterns, random = jnp.asarray(PATTERNS), np.random.default_rng(0)
    flow = dm.GradientFlow(Energy(patterns, jnp.asarray(BETA)))
    starts = random.uniform(-BOX, BOX, (states, 2))
    points = dm.fixed_points(flow, starts[:200], memories=patterns, energy=Energy(patterns, BETA))
    certain = dm.enclose_fixed_points(flow, [(-BOX, BOX)] * 2)
    rest = np.stack([point.x for point in points.stable])
    shares = dm.basins(flow, starts, rest, t1=40.0)
    corners = np.asarray([(-BOX, -BOX), (BOX, -BOX), (-BOX, BOX)])
    plane = dm.basin_map(flow, corners, rest, resolution=resolution, margin=0.0, t1=40.0)
    diagram = dm.branches(lambda b: dm.GradientFlow(Energy(patterns, b)), points.x, SPAN, start=BETA)
    return Found(points, certain, shares, plane, diagram)


def picture(found: Found) -> Figure:
    """The basins in the plane, and the branches in b."""
    figure = Figure(figsize=(9.6, 4.2), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    rest, plane = [point.x for point in found.points.stable], found.plane
    x, y = (plane.states()[:, axis].reshape(plane.labels.shape) for axis in range(2))
    shown = ListedColormap(["#ffffff", *COLOURS[: len(rest)]])
    left.pcolormesh(x, y, np.maximum(plane.labels, -1), cmap=shown, vmin=-1.5, vmax=len(rest) - 0.5, alpha=0.35)
    for point in found.points.points:
        left.plot(*point.x, "o", color="black", markersize=6, fillstyle="full" if point.stable else "none")
    left.plot(*np.asarray(PATTERNS).T, "x", color="#5c6870", markersize=7)
    left.set(title=f"Where states end at b = {BETA:g}", xlabel="first coordinate", ylabel="second", aspect="equal")
    for branch in found.diagram.branches:
        for solid in (True, False):
            height = np.where(branch.stable == solid, branch.xs[:, 0], np.nan)
            right.plot(branch.ps, height, "-" if solid else ":", color="#0b6e99" if solid else "#d1495b")
    for one in found.diagram.bifurcations:
        right.plot(one.p, one.x[0], "o", color="black", markersize=4)
    right.set(title="Fixed points, stable (drawn) and not (dotted)", xlabel="b", ylabel="first coordinate")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10.5)
    return figure


def main(picture_path: str | Path = "own_landscape.svg", states: int = 2000, resolution: int = 96) -> Found:
    """Print what was found and draw the picture."""
    jax.config.update("jax_enable_x64", True)
    found = study(states, resolution)
    for point in found.points.points:
        print(f"{point.kind:8s} at ({point.x[0]:+.4f}, {point.x[1]:+.4f}), E = {point.energy:+.4f}")
    print(f"in the box: {found.certain.status}, {len(found.certain.points)} fixed points and no others")
    for point, share in zip(found.points.stable, found.shares.shares, strict=True):
        print(f"({point.x[0]:+.2f}, {point.x[1]:+.2f}) has {share.share:.3f} [{share.low:.3f}, {share.high:.3f}]")
    for one in found.diagram.bifurcations:
        print(f"{one.kind} at b = {one.p:.6f}, x = ({one.x[0]:+.4f}, {one.x[1]:+.4f})")
    with mpl.rc_context({"svg.hashsalt": "dynamem", "font.size": 9.5, "axes.titlepad": 8.0}):
        undated = {"Date": None} if Path(picture_path).suffix == ".svg" else None  # the same file at every run
        picture(found).savefig(picture_path, metadata=undated)
    return found


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "own_landscape.svg")
