"""Options that several commands share, and what can be refused about them at once."""

import argparse

from .._errors import InputError


MOST_SEED = 2**63 - 1  # a JAX key takes no larger one


def data_options(parser: argparse.ArgumentParser) -> None:
    """``--data``, ``--standardise`` and ``--weights``."""
    data = parser.add_argument_group("data")
    data.add_argument("--data", metavar="FILE", help="patterns (N, D) or images (N, H, W) in a .npy, .npz or .csv "
                      "file (default: the scikit-learn digits in [0, 1])")  # fmt: skip
    data.add_argument("--standardise", action="store_true", help="mean 0 and variance 1 for features that vary")
    data.add_argument("--weights", metavar="FILE", help="prior weight of each pattern (default: equal)")


def seed_option(group: argparse._ArgumentGroup) -> None:
    """``--seed``."""
    group.add_argument("--seed", metavar="S", type=int, default=0, help="seed of all random numbers (default: 0)")


def output_options(parser: argparse.ArgumentParser, json: str, html: str) -> argparse._ArgumentGroup:
    """``--json``, ``--html`` and ``--verbose``; ``json`` and ``html`` say what is written."""
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help=json)
    output.add_argument("--html", metavar="FILE", help=html)
    output.add_argument("--verbose", action="store_true", help="progress in plain lines where there is no terminal")
    return output


def check_seed(seed: int) -> None:
    """Refuse a seed that a JAX key does not take."""
    if not 0 <= seed <= MOST_SEED:
        msg = f"seed={seed!r} is out of range; give a number from 0 to {MOST_SEED}"
        raise InputError(msg)
