"""Published samplers in NumPy, each as its paper prints it for a variance-exploding state, one step at a time.

A step is ``(y, s, s1, z, past) -> y1``: noise levels s and s1, normals ``z(part, parts)``, and past denoisers with
their levels, latest first.
"""

import itertools

import diffrax as dfx
import jax.numpy as jnp
import numpy as np

from tests.catalogue import WEIGHTS, XI


class Waves(dfx.AbstractPath):
    """A control whose increments are smooth in the ends of the interval, so that both sides can compute them."""

    phase: jnp.ndarray
    t0 = -jnp.inf
    t1 = jnp.inf

    def evaluate(self, t0, t1=None, left=True):
        return jnp.sqrt(t1 - t0).astype(self.phase.dtype) * wave(t0, t1, self.phase, jnp)


def wave(t0, t1, phase, module=np):
    return 1.3 * module.sin(module.arange(1, 4, dtype=phase.dtype) * (9 * t0 + 5 * t1) + phase)


def denoise(y, s):
    xi, square = np.asarray(XI), ((y - np.asarray(XI)) ** 2).sum(1)
    w = np.asarray(WEIGHTS) * np.exp(-(square - square.min()) / (2 * s * s))
    return w @ xi / w.sum()


def ddim(eta):
    """ArXiv 2010.02502, eq. 12 and 16, with sigma/alpha in place of sigma."""

    def step(y, s, s1, z, past):
        m = denoise(y, s)
        sigma = eta * s1 / s * np.sqrt(s**2 - s1**2)
        return m + np.sqrt(s1**2 - sigma**2) * (y - m) / s + sigma * z(0, 1)

    return step


def ddpm(upper):
    """ArXiv 2006.11239, eq. 7, in the variance-preserving state ``x = y/sqrt(1 + s^2)``."""

    def step(y, s, s1, z, past):
        bar, bar1 = 1 / (1 + s**2), 1 / (1 + s1**2)
        a = bar / bar1
        x, m, b = np.sqrt(bar) * y, denoise(y, s), 1 - bar / bar1
        mean = np.sqrt(bar1) * b / (1 - bar) * m + np.sqrt(a) * (1 - bar1) / (1 - bar) * x
        variance = b if upper else (1 - bar1) / (1 - bar) * b
        return (mean + np.sqrt(variance) * z(0, 1)) / np.sqrt(bar1)

    return step


def edm(churn, low, high, scale, steps):
    """ArXiv 2206.00364, algorithm 2."""

    def step(y, s, s1, z, past):
        gamma = min(churn / steps, np.sqrt(2) - 1) if low <= s <= high else 0
        hat = s + gamma * s
        y_hat = y + np.sqrt(hat**2 - s**2) * scale * z(0, 1)
        d = (y_hat - denoise(y_hat, hat)) / hat
        euler = y_hat + (s1 - hat) * d
        return y_hat + (s1 - hat) * (0.5 * d + 0.5 * (euler - denoise(euler, s1)) / s1)

    return step


def dpm_2m(y, s, s1, z, past):
    """ArXiv 2211.01095, algorithm 2, with alpha = 1."""
    h, m, d = np.log(s / s1), denoise(y, s), denoise(y, s)
    if past:
        r = np.log(past[0][0] / s) / h
        d = (1 + 1 / (2 * r)) * m - past[0][1] / (2 * r)
    return s1 / s * y - np.expm1(-h) * d


def dpm_2s(y, s, s1, z, past):
    """ArXiv 2211.01095, algorithm 1, r = 1/2."""
    r, h, m = 0.5, np.log(s / s1), denoise(y, s)
    inner = s * np.exp(-r * h)
    u = inner / s * y - np.expm1(-r * h) * m
    d = (1 - 1 / (2 * r)) * m + denoise(u, inner) / (2 * r)
    return s1 / s * y - np.expm1(-h) * d


def dpm_sde(y, s, s1, z, past):
    """SDE-DPM-Solver++(2M) of arXiv 2211.01095, with alpha = 1."""
    h, m = np.log(s / s1), denoise(y, s)
    slope = (m - past[0][1]) / (np.log(past[0][0] / s) / h) if past else 0
    fade = 1 - np.exp(-2 * h)
    return s1 / s * np.exp(-h) * y + fade * m + 0.5 * fade * slope + s1 * np.sqrt(fade) * z(0, 1)


def ancestral(eta):
    """get_ancestral_step and sample_euler_ancestral of k-diffusion."""

    def step(y, s, s1, z, past):
        up = min(s1, eta * np.sqrt(s1**2 * (s**2 - s1**2) / s**2))
        down = np.sqrt(s1**2 - up**2)
        return y + (y - denoise(y, s)) / s * (down - s) + z(0, 1) * up

    return step


def exponential_ab(k):
    """``int e^-(h-u) P(u) du`` by a Gauss rule, P from Lagrange's formula."""
    nodes, weights = np.polynomial.legendre.leggauss(20)

    def step(y, s, s1, z, past):
        lam, h = -np.log(s), np.log(s / s1)
        known = [(lam, denoise(y, s)), *((-np.log(a), m) for a, m in past[: k - 1])]
        u, w = lam + h * (nodes + 1) / 2, h * weights / 2
        integral = 0
        for i, (one, m) in enumerate(known):
            basis = np.prod([(u - other) / (one - other) for j, (other, _) in enumerate(known) if j != i], axis=0)
            integral = integral + np.sum(w * np.exp(u - lam - h) * basis) * m
        return s1 / s * y + integral

    return step


def corrected(ancestral, snr, count):
    """One of the predictors of arXiv 2011.13456, then its algorithm 4 ``count`` times."""

    def step(y, s, s1, z, past):
        score = (denoise(y, s) - y) / s**2
        noise = np.sqrt((s1**2 / s**2 if ancestral else 1) * (s**2 - s1**2))
        y = y + (s**2 - s1**2) * score + noise * z(0, 1 + count)
        for k in range(1, 1 + count):
            g, kick = (denoise(y, s1) - y) / s1**2, z(k, 1 + count)
            eps = 2 * (snr * np.linalg.norm(kick) / np.linalg.norm(g)) ** 2
            y = y + eps * g + np.sqrt(2 * eps) * kick
        return y

    return step


def annealed(delta, count):
    """ArXiv 1907.05600, algorithm 1 at one level."""

    def step(y, s, s1, z, past):
        for k in range(count):
            a = delta * s1**2
            y = y + a / 2 * (denoise(y, s1) - y) / s1**2 + np.sqrt(a) * z(k, count)
        return y

    return step


STEPS = {
    "DDIM": ddim(0.0),
    "DDIM[1]": ddim(1.0),
    "DDPM": ddpm(upper=False),
    "DDPM[upper]": ddpm(upper=True),
    "EDMHeun": edm(0.0, 0.0, np.inf, 1.0, 1),
    "EDMHeun[churn]": edm(2.0, 0.3, 50.0, 1.01, 4),
    "DPMSolver2M": dpm_2m,
    "DPMSolver2S": dpm_2s,
    "DPMSolverSDE": dpm_sde,
    "EulerAncestral": ancestral(1.0),
    "EulerAncestral[1.5]": ancestral(1.5),
    "ExponentialAB[2]": exponential_ab(2),
    "ExponentialAB[3]": exponential_ab(3),
    "ExponentialAB[4]": exponential_ab(4),
    "PredictorCorrector": corrected(False, 0.16, 1),
    "PredictorCorrector[ancestral]": corrected(True, 0.1, 2),
    "AnnealedLangevin": annealed(0.2, 3),
}


def walk(step, lams, y, phase):
    """States at every entry of the grid, shape (n, D)."""
    states, past = [np.asarray(y)], []
    for lam, lam1 in itertools.pairwise(lams):

        def z(part, parts, lam=lam, lam1=lam1):
            length = (lam1 - lam) / parts
            return wave(lam + part * length, lam + (part + 1) * length, phase)

        s, y = np.exp(-lam), states[-1]
        states.append(step(y, s, np.exp(-lam1), z, past))
        past = [(s, denoise(y, s)), *past]
    return np.stack(states)
