"""Energies and their derivatives agree with HAMUX (Hoover et al. 2022), which builds the same memories.

Needs the packages `hamux` and `fastcore`, which it imports without asking for it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dynamem as dm
from tests.catalogue import BIAS, X


pytestmark = pytest.mark.peers
RNG = np.random.default_rng(2)
T = jnp.asarray(0.0)

# name of HAMUX's function, its keywords, our Lagrangian
PAIRS = [
    ("lagr_identity", {}, dm.Elementwise("identity")),
    ("lagr_relu", {}, dm.Elementwise("relu")),
    ("lagr_repu", {"n": 4}, dm.Elementwise("repu", n=4)),
    ("lagr_exp", {"beta": 0.7}, dm.Elementwise("exp", beta=0.7)),
    ("lagr_tanh", {"beta": 2.0}, dm.Elementwise("tanh", beta=2.0)),
    ("lagr_sigmoid", {"beta": 2.0}, dm.Elementwise("sigmoid", beta=2.0)),
    ("lagr_softmax", {"beta": 3.0}, dm.Softmax(3.0)),
    ("lagr_spherical_norm", {"gamma": 0.8, "eps": 0.01}, dm.SphericalNorm(0.8, 0.01)),
    ("lagr_layernorm", {"gamma": 0.8, "delta": BIAS, "eps": 0.01}, dm.LayerNorm(0.8, BIAS, 0.01)),
]


@pytest.mark.parametrize(("name", "how", "ours"), PAIRS, ids=[name for name, _, _ in PAIRS])
def test_lagrangians_agree(name, how, ours):
    import hamux

    for x in X:
        theirs, slope = jax.value_and_grad(lambda z: getattr(hamux, name)(z, **how))(x)
        np.testing.assert_allclose(ours(x), theirs, rtol=1e-12)
        np.testing.assert_allclose(ours.g(x), slope, rtol=1e-12, atol=1e-14)


def _picture_features_classes():
    """Three layers joined by a convolution and a dense synapse; weights of either."""
    kernel, read, input_ = (jnp.asarray(RNG.normal(size=shape)) for shape in ((2, 1, 3, 3), (8, 3), (3,)))
    ours = dm.HAM(
        {
            "picture": dm.Layer((4, 4, 1), dm.Elementwise("tanh", beta=1.5)),
            "features": dm.Layer((2, 2, 2), "relu"),
            "classes": dm.Layer(3, dm.Softmax(2.0), input_),
        },
        [
            dm.ConvSynapse(kernel, ("picture", "features"), strides=2),
            dm.DenseSynapse(read, ("features", "classes")),
        ],
    )
    return ours, kernel, read, input_


def test_memories_agree():
    """HAMUX has a bias as a synapse of its own, ``-b.g``, and no time constants."""
    import hamux

    ours, kernel, read, input_ = _picture_features_classes()
    neurons = {
        "picture": hamux.NeuronLayer(lambda x: hamux.lagr_tanh(x, beta=1.5), (4, 4, 1)),
        "features": hamux.NeuronLayer(hamux.lagr_relu, (2, 2, 2)),
        "classes": hamux.NeuronLayer(lambda x: hamux.lagr_softmax(x, beta=2.0), (3,)),
    }
    dense = hamux.LinearSynapse(read)
    synapses = {
        "see": hamux.ConvSynapse(kernel, (2, 2), "SAME"),
        "read": lambda g, h: dense(g.reshape(-1), h),
        "input": hamux.BiasSynapse(input_),
    }
    joins = [(("picture", "features"), "see"), (("features", "classes"), "read"), (("classes",), "input")]
    theirs = hamux.HAM(neurons, synapses, joins)
    for _ in range(5):
        x = jnp.asarray(RNG.normal(size=27))
        xs = ours.split(x)
        gs = theirs.activations(xs)
        np.testing.assert_allclose(ours(T, x), theirs.energy(gs, xs), rtol=1e-12)
        found, wanted = ours.split(ours.dual_gradient(T, x)), theirs.dEdact(gs, xs)
        for name in ours.names:
            np.testing.assert_allclose(ours.activations(x)[name], gs[name], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-11, atol=1e-13)
