r"""The statement in mean: ``E V(t_{k+1}) <= E V(t_k)``, tested over paths with a controlled error.

The realised martingale part ``grad V . g dW`` of a step has mean zero, so it is subtracted from each path's change (a
control variate): what is left has the same mean and a far smaller spread. Each step gets a Student interval over paths
at the level ``error/(2 steps)`` (Bonferroni), so that all hold together with probability ``1 - error``; paths are taken
as independent and their changes as near enough to normal.
"""

import equinox as eqx
import numpy as np
import scipy.stats


class MeanTest(eqx.Module):
    """Mean change of every step with a joint confidence interval.

    Attributes:
        mean: mean change of each step, shape (n,).
        low: lower confidence limits, shape (n,).
        high: upper confidence limits, shape (n,).
        bound: rounding that is forgiven, shape (n,).
        paths: number of paths.
        error: probability that any interval misses.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bound: np.ndarray
    paths: int
    error: float

    @property
    def status(self) -> str:
        """``broken`` if a step surely rises in mean, ``holds`` if surely none does, else ``undecided``."""
        if not np.all(np.isfinite(self.mean)):
            return "failed"
        if np.any(self.low > self.bound):
            return "broken"
        return "holds" if np.all(self.high <= self.bound) else "undecided"

    @property
    def rising(self) -> np.ndarray:
        """Steps whose lower limit exceeds the bound, shape (n,)."""
        return self.low > self.bound

    @property
    def open(self) -> int:
        """Number of steps whose interval holds both signs."""
        return int(np.sum((self.high > self.bound) & (self.low <= self.bound)))


def mean_test(change: np.ndarray, martingale: np.ndarray, bound: np.ndarray, error: float = 1e-3) -> MeanTest:
    """Test ``E change <= 0`` step by step from changes and martingale parts of shape (paths, steps)."""
    paths, steps = change.shape
    rest = change - martingale
    mean = rest.mean(axis=0)
    if paths < 2:
        wide = np.full(steps, np.inf)
        return MeanTest(mean, -wide, wide, bound.mean(axis=0), paths, error)
    spread = rest.std(axis=0, ddof=1) / np.sqrt(paths)
    reach = scipy.stats.t.ppf(1 - error / (2 * steps), paths - 1) * spread
    return MeanTest(mean, mean - reach, mean + reach, bound.mean(axis=0), paths, error)
