"""What every row of an audit must hold, whatever system it is about."""

import numpy as np
import pytest
import scipy.stats

from dynamem.catalog._rows import PARTS


IDENTITY = ("system", "dynamics", "schedule", "solver", "steps", "clock", "energy", "statement", "theorem")


def assert_attributed(row):
    """A broken row has a witness, its first rise, and parts that add up to its largest rise; others have none."""
    broken = row["verdict"] == "broken"
    for field in ("witness", "first_rise", "attribution"):
        assert (row[field] is not None) == broken, (row["system"], row["energy"], row["statement"], field)
    if broken:
        assert list(row["attribution"]) == list(PARTS)
        size = max(map(abs, row["attribution"].values()))
        assert sum(row["attribution"].values()) == pytest.approx(row["largest_rise"], abs=1e-12 * size)
        assert row["largest_rise"] > 0
        assert row["rises"] > 0


def replayed_mean(witness):
    """Mean and limits of a mean witness, from its changes and martingale parts alone."""
    rest = np.asarray(witness["changes"]) - np.asarray(witness["martingale"])
    level = 1 - witness["error"] / (2 * witness["steps"])
    reach = scipy.stats.t.ppf(level, len(rest) - 1) * rest.std(ddof=1) / np.sqrt(len(rest))
    return [rest.mean(), rest.mean() - reach, rest.mean() + reach]
