"""Guidance: the energy of a guided flow, its rate, where it rises, and what restores its fall."""

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from dynamem._errors import InputError
from tests.catalogue import WEIGHTS, XI, Ideal, X, classified, guided, path


PAIR = jnp.asarray([[1.0], [-1.0]])
LOG2 = float(np.log(2.0))


def pair(weight, gauge=0.0):
    """The smallest case: of two patterns in one dimension, the first is asked for."""
    where = dm.DiffusionPath(dm.VE(), dm.ClassifierFreeGuidance(dm.Empirical(PAIR[:1]), dm.Empirical(PAIR), weight))
    return dm.GuidedEnergy(where, gauge), dm.ProbabilityFlow(where)


@eqx.filter_jit
def rates(where, gauge, lams, ys):
    """Total rate, its parts and the gradient of the energy, for states ys (B, D) at times lams (B,)."""
    energy, flow = dm.GuidedEnergy(where, gauge), dm.ProbabilityFlow(where)

    def one(lam, y):
        found = dm.generator(energy, flow)(lam, y)
        return found.total, found.schedule, found.dissipation, jax.grad(energy, argnums=1)(lam, y)

    return jax.vmap(one)(lams, ys)


def posterior(xi, u, y, s):
    """Mean and KL of the posterior over patterns, in NumPy."""
    a = np.log(u) - ((y - xi) ** 2).sum(1) / (2 * s * s)
    w = np.exp(a - a.max())
    w = w / w.sum()
    return w @ xi, (w * np.where(w > 0, np.log(w / u), 0.0)).sum()


def formula(weight, gauge, lam, y):
    """-|y - m_g|^2 - 2 s^2 ((1 - w) KL_u + w KL_c + b), and m_g."""
    keep, s = np.asarray(WEIGHTS) > 0, np.exp(-lam)
    free, kl = posterior(np.asarray(XI)[keep], np.asarray(WEIGHTS)[keep], y, s)
    wanted, narrow = posterior(np.asarray(XI)[:2], np.full(2, 0.5), y, s)
    mean = free + weight * (wanted - free)
    return -((y - mean) ** 2).sum() - 2 * s * s * ((1 - weight) * kl + weight * narrow + gauge), mean


def cases(count=48):
    rng = np.random.default_rng(5)
    lams = rng.uniform(-1.0, 2.5, size=count)
    near = np.asarray(XI)[rng.integers(2, size=count)]
    return lams, near + np.exp(-lams)[:, None] * rng.normal(size=(count, 3))


@pytest.mark.parametrize(("weight", "gauge"), [(-1.5, 0.0), (0.0, 0.0), (0.4, 0.3), (1.0, 0.0), (3.0, 0.0)])
def test_the_rate_of_the_guided_energy(weight, gauge):
    lams, ys = cases()
    found = rates(path(law=guided(weight)), jnp.asarray(gauge), jnp.asarray(lams), jnp.asarray(ys))
    total, schedule, dissipation, slope = (np.asarray(part) for part in found)
    exact = [formula(weight, gauge, lam, y) for lam, y in zip(lams, ys, strict=True)]
    means = np.stack([mean for _, mean in exact])
    np.testing.assert_allclose(total, [rate for rate, _ in exact], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(slope, ys - means, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(dissipation, -((ys - means) ** 2).sum(1), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(total, schedule + dissipation, rtol=1e-9, atol=1e-10)
    twin = np.asarray([formula(weight + 0.5, gauge, lam, y)[0] for lam, y in zip(lams, ys, strict=True)])
    assert np.abs(twin - total).max() > 0.1
    if 0 <= weight <= 1:
        assert np.all(total <= 1e-12)
    if weight > 1:
        assert total.max() > 0


def test_at_the_pattern_asked_for_every_weight_above_one_makes_it_rise():
    """There ``m_g = y`` and ``KL_c = 0`` as s falls, so that the rate is ``2 s^2 (w - 1) KL_u``, ``KL_u -> log 2``."""
    lam, y = jnp.asarray([1.5]), PAIR[:1]
    for weight in (1.0, 1.001, 1.5, 3.0, 8.0):
        where = pair(weight)[0].path
        total = float(rates(where, jnp.asarray(0.0), lam, y)[0][0])
        np.testing.assert_allclose(total, 2 * np.exp(-3.0) * (weight - 1) * LOG2, rtol=1e-4, atol=1e-12)
        restored = float(rates(where, jnp.asarray((weight - 1) * LOG2), lam, y)[0][0])
        assert restored <= 1e-15
    assert float(rates(pair(3.0)[0].path, jnp.asarray(1.9 * LOG2), lam, y)[0][0]) > 0


def test_the_gauge_restores_the_fall():
    """``(w - 1) log 1/min u`` for w > 1, and ``|w| log 1/min u_c`` for w < 0, at states where it rose without."""
    lams, ys = cases()
    for weight, gauge in ((3.0, 2.0 * np.log(10.0)), (-1.5, 1.5 * LOG2)):
        found = rates(path(law=guided(weight)), jnp.asarray(gauge), jnp.asarray(lams), jnp.asarray(ys))[0]
        assert np.all(np.asarray(found) <= 1e-12)


@pytest.mark.long
def test_a_check_along_the_flow():
    for weight, gauge, status in ((0.5, 0.0, "holds"), (4.0, 0.0, "broken"), (4.0, 3.01 * LOG2, "holds")):
        energy, flow = pair(weight, gauge)
        span = {"t0": -1.0, "t1": 2.0, "solver": dm.DDIM(), "dt0": 0.1}
        verdict = dm.check(energy, flow, jnp.asarray([[0.3], [2.0], [-1.5]]), **span)
        assert verdict.status == status, verdict.reason


@pytest.mark.long
def test_the_rungs_of_rigour_agree():
    y0, times = jnp.asarray([[0.3], [2.0], [-1.5]]), {"t0": -1.0, "t1": 3.0, "key": jax.random.key(0)}
    for weight, gauge, found in ((1.0, 0.0, "holds"), (1.05, 0.0, "broken"), (3.0, 2.001 * LOG2, "holds")):
        verdict = dm.falsify(*pair(weight, gauge), y0, **times)
        assert verdict.status == found, verdict.reason
        if found == "broken":
            np.testing.assert_allclose(verdict.witness.replay(*pair(weight)), verdict.witness.change, rtol=1e-9)
    box = [(-1.5, 1.5), (-0.5, 0.5)]
    for case in (pair(0.5), pair(3.0, 2.2 * LOG2)):
        assert dm.certify(*case, box, budget_s=60.0).status in ("certified", "proved")
    assert dm.certify(*pair(3.0), [(0.9, 1.1), (0.5, 1.0)]).status == "broken"
    assert dm.prove(*pair(0.5)).status == "proved"
    assert dm.prove(*pair(3.0)).status == "broken"


# --------------------------------------------------------------- classifiers


def test_a_classifier_by_bayes_rule_is_guidance_without_one():
    """Same mean; the energies differ by ``w s^2 log 1/P(c)``, here in the constant that `classified` leaves out: 0."""
    for s in (0.3, 1.0, 4.0):
        left, right = classified(3.0).denoise(X[0], s), guided(3.0).denoise(X[0], s)
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-10)
        values = [dm.GuidedEnergy(path(law=law))(-jnp.log(s), X[0]) for law in (classified(3.0), guided(3.0))]
        np.testing.assert_allclose(*values, rtol=1e-9)
    one = classified(1.0).denoise(X[0], 0.7)
    np.testing.assert_allclose(one, dm.Empirical(XI[:2]).denoise(X[0], 0.7), rtol=1e-9)


def test_a_classifier_in_the_coordinates_of_its_schedule():
    law, schedule = dm.Empirical(XI, WEIGHTS), dm.FlowMatching()

    def log_probability(x, t):
        return classified().log_probability(x / schedule.alpha(t), schedule.s(t))

    own = dm.ClassifierGuidance(law, log_probability, 2.0, schedule)
    np.testing.assert_allclose(own.denoise(X[0], 0.7), classified().denoise(X[0], 0.7), rtol=1e-8)


def test_guided_samples_reach_what_is_asked_for():
    """At w = 1 and at w = 3 the flow ends at one of the two patterns, without guidance it need not."""
    y0 = 5.0 * jax.random.normal(jax.random.key(1), (16, 3))

    @eqx.filter_jit
    def ends(flow):
        def one(y):
            return dfx.diffeqsolve(flow.terms(), dm.DDIM(), -2.0, 7.0, 0.1, y, throw=False).ys[0]

        return jax.vmap(one)(y0)

    def reached(weight):
        found = np.asarray(ends(dm.ProbabilityFlow(path(law=guided(weight)))))
        return np.linalg.norm(found[:, None] - np.asarray(XI)[:2], axis=2).min(axis=1) < 0.05

    assert reached(1.0).all()
    assert reached(3.0).all()
    assert not reached(0.0).all()


# ------------------------------------------------------------------ refusals


def net():
    return dm.Prediction(Ideal("v"), "v", dm.FlowMatching())


BAD = {
    "weight.* holds NaN": lambda: guided(float("nan")),
    "path.law=Empirical of Empirical: need ClassifierFreeGuidance": lambda: dm.GuidedEnergy(path()),
    "path.law=ClassifierFreeGuidance of Empirical, Prediction: need": lambda: dm.GuidedEnergy(
        path(law=dm.ClassifierFreeGuidance(dm.Empirical(XI), net(), 2.0))
    ),
    "gauge=-1.0: must be finite and non-negative": lambda: dm.GuidedEnergy(path(law=guided()), -1.0),
    r"log_probability=<lambda>: gives shape \(3,\)": lambda: dm.ClassifierGuidance(
        dm.Empirical(XI), lambda y, s: y, 1.0
    ).denoise(X[0], 1.0),
    "energy.clock='lam', flow.clock='tau'": lambda: dm.generator(
        dm.GuidedEnergy(path(law=guided())), dm.ProbabilityFlow(path(law=guided()), "tau")
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_used_is_named(message):
    with pytest.raises(InputError, match=message):
        BAD[message]()


def test_guidance_of_networks_needs_no_law():
    """The flow wants a mean only; there is no energy, which is said."""
    law = dm.ClassifierFreeGuidance(dm.Empirical(XI[:2]), net(), 2.0)
    np.testing.assert_allclose(law.denoise(X[0], 0.7), guided(2.0).denoise(X[0], 0.7), rtol=1e-8)
