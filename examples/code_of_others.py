r"""Code of others under the assertions of `dynamem.testing`, as it is installed: what holds and what breaks.

HAMUX's memories, diffusers' tables and samplers, a field for torchdiffeq and one for torchsde. A sampler that is not
JAX's is a Diffrax solver whose steps call it by `jax.pure_callback`. ``pip install 'dynamem[peers]'`` first.

    python examples/code_of_others.py
"""

from functools import partial
from importlib import import_module, metadata
from types import SimpleNamespace
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import dynamem as dm
from dynamem import testing


MISSING = "not installed: pip install 'dynamem[peers]'"
STATES = np.asarray([[0.5, -1.0, 2.0, 0.25], [1.5, 0.5, -0.75, 1.0], [-2.0, 1.25, 0.5, -0.5]])
PLANE, SPAN = STATES[:, :2], (-1.0, 2.0)


class Run:
    """A scheduler of diffusers on the host: `make(count)` gives it and the level s of each call, ``x = scale(s) y``."""

    def __init__(self, make, scale=lambda s: 1 / np.hypot(1, s), span=SPAN, output=lambda y, m, s: (y - m) / s):
        self.make, self.scale, self.span, self.output = make, scale, span, output

    def level(self, stage, ends, y):
        """The level of the next call; at the start of the span a new run begins."""
        before, after = np.asarray(ends).reshape(-1, 2)[0]
        if stage == 0 and before == self.span[0]:
            self.scheduler, self.levels = self.make(round((self.span[1] - before) / (after - before)))
            self.calls = 0
        return np.full(np.shape(y)[:-1], self.levels[self.calls])

    def advance(self, y, m, _):
        """``y`` after the call, given the denoiser's ``m``."""
        tensor, t, s = import_module("torch").tensor, self.scheduler.timesteps[self.calls], self.levels[self.calls]
        x = tensor(self.scale(s) * np.asarray(y))
        if "is_scale_input_called" in vars(self.scheduler):
            self.scheduler.scale_model_input(x, t)
        after = self.scheduler.step(tensor(self.output(np.asarray(y), np.asarray(m), s)), t, x).prev_sample
        self.calls += 1
        return after.double().numpy() / self.scale(self.levels[self.calls])


class Peer(dfx.Euler):
    """A `Run` as a solver for `dm.ProbabilityFlow`; it asks the denoiser at the scheduler's own levels."""

    run: Run = eqx.field(static=True)
    stages: int = eqx.field(static=True)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        """One call a stage, with ``m = y + dy/dlam``."""
        y, call = y0, partial(jax.pure_callback, vmap_method="broadcast_all")
        for stage in range(self.stages):
            s = call(partial(self.run.level, stage), jax.ShapeDtypeStruct((), y.dtype), jnp.stack([t0, t1]), y)
            m = y + terms.vf(-jnp.log(s), y, args)
            y = call(self.run.advance, jax.ShapeDtypeStruct(y.shape, y.dtype), y, m, s)
        return y, None, {"y0": y0, "y1": y}, None, dfx.RESULTS.successful


def on_lam(name, more=1, **how):
    """A scheduler whose training table has the levels of equal steps of lam, so that it goes through these."""

    def make(count):
        levels = np.exp(-np.linspace(*SPAN, count + 1))
        square = 1 / (1 + levels[::-1] ** 2)
        betas = [1 - square[0], *(1 - square[1:] / square[:-1])]
        kind = getattr(import_module("diffusers"), name)
        scheduler = kind(num_train_timesteps=len(betas), trained_betas=betas, **how)
        scheduler.set_timesteps(count + more)
        return scheduler, scheduler.sigmas.double().numpy() if "sigmas" in vars(scheduler) else levels

    return make


def table(name, **how):
    """Whether the products ``alpha^2`` of a scheduler's table, in equal steps of t, are a schedule."""
    kept = getattr(import_module("diffusers"), name)(**how).alphas_cumprod.double().numpy()
    times = np.linspace(0.0, 1.0, len(kept))

    def square(t):
        return jnp.interp(t, jnp.asarray(times, t.dtype), jnp.asarray(kept, t.dtype))

    both = SimpleNamespace(alpha=lambda t: jnp.sqrt(square(t)), sigma=lambda t: jnp.sqrt(1 - square(t)))
    return partial(testing.assert_schedule, both, times=times)


def sampler(order, make, stages=1, **how):
    return partial(testing.assert_sampler_consistent, Peer(Run(make, **how), stages), order=order, steps=(32, 128))


def memory(lagrangian, second=None):
    """The energy of two layers of HAMUX, and ``dx/dt = -dE/dg``."""
    hamux = import_module("hamux")
    neurons = {"a": hamux.NeuronLayer(lagrangian, (2,)), "b": hamux.NeuronLayer(second or hamux.lagr_softmax, (2,))}
    dense = hamux.LinearSynapse(jnp.asarray([[1.0, 0.5], [-0.25, 0.75]]))
    ham = hamux.HAM(neurons, {"w": dense}, [(("a", "b"), "w")])

    def parts(x):
        xs = {"a": x[:2], "b": x[2:]}
        return ham.activations(xs), xs

    flow = dfx.ODETerm(lambda t, x, args: -ravel_pytree(ham.dEdact(*parts(x)))[0])
    return lambda t, x: ham.energy(*parts(x)), flow


def field(function):
    """``f(t, y)`` on tensors (B, 2), as torchdiffeq and torchsde take it, on JAX arrays."""
    torch: Any = import_module("torch")
    module = type("Field", (torch.nn.Module,), {"forward": lambda _, y, t: function(t, y)})()
    module.one = torch.nn.Parameter(torch.ones((), dtype=torch.float64))  # says the precision
    model = dm.torch_model(module.eval(), (2,))
    return lambda t, y, args: model(y, t)


def spiral():
    """``dy/dt = y^3 A``, the field of torchdiffeq's demo."""
    return dfx.ODETerm(field(lambda t, y: y**3 @ y.new_tensor([[-0.1, 2.0], [-2.0, -0.1]])))


def geometric(mu, nu):
    """``dy = mu y dt + nu y dW``, the f and g of an SDE for torchsde as terms, which are read as Ito's."""
    f, g = field(lambda t, y: mu * y), field(lambda t, y: nu * y)
    w = dfx.VirtualBrownianTree(0.0, 1.0, 1e-3, (2,), jax.random.key(0))
    return dfx.MultiTerm(dfx.ODETerm(f), dfx.ControlTerm(lambda t, y, args: jnp.diag(g(t, y, args)), w))


def findings(peer):
    """What is asked, and the call."""
    room: Any = import_module(peer)
    zero, low = {"rescale_betas_zero_snr": True}, {"final_sigmas_type": "sigma_min"}
    tanh, falls = lambda z: room.lagr_tanh(z[1:], z[0]), partial(partial, testing.assert_lyapunov)
    square, fourth = (lambda t, x, n=n: jnp.sum(x**n) / n for n in (2, 4))
    return {
        "hamux": lambda: [
            ("E falls along -dE/dg", falls(*memory(room.lagr_tanh), STATES)),
            ("-dE/dg is -grad_x E", partial(testing.assert_gradient_flow, *memory(room.lagr_tanh), STATES)),
            ("E falls, states of 1000", falls(*memory(room.lagr_tanh), 1000 * STATES)),
            ("tanh in (beta, x)", partial(testing.assert_score_is_gradient, jax.grad(tanh), STATES)),
        ],
        "diffusers": lambda: [
            ("DDPM, zero terminal SNR", table("DDPMScheduler", **zero)),
            ("Euler, zero terminal SNR", table("EulerDiscreteScheduler", **zero)),
            ("DDIM has order 1", sampler(1, on_lam("DDIMScheduler"))),
            ("the same without clipping", sampler(1, on_lam("DDIMScheduler", clip_sample=False))),
            ("Heun has order 2", sampler(2, on_lam("HeunDiscreteScheduler"), 2, scale=np.ones_like)),
            ("DPM++ 2M has order 2", sampler(2, on_lam("DPMSolverMultistepScheduler", 0, **low))),
            ("UniPC 3 has order 3", sampler(3, on_lam("UniPCMultistepScheduler", 0, solver_order=3, **low))),
            ("DEIS 3 has order 2", sampler(2, on_lam("DEISMultistepScheduler", 0, solver_order=3))),
        ],
        "torchdiffeq": lambda: [
            ("sum y^4/4 falls along y^3 A", falls(fourth, spiral(), PLANE)),
            ("y.y/2 falls along y^3 A", falls(square, spiral(), PLANE)),
        ],
        "torchsde": lambda: [
            ("y.y/2 falls in mean, Ito", falls(square, geometric(-0.2, 0.5), PLANE)),
            ("the same, Stratonovich", falls(square, geometric(-0.2 + 0.125, 0.5), PLANE)),
        ],
    }[peer]()


def found(call):
    try:
        call()
    except AssertionError as broken:
        return str(broken).splitlines()[0]
    return "holds"


def main() -> list[tuple[str, ...]]:
    """Rows of peer, version, assertion, what was asked of it and what was found."""
    jax.config.update("jax_enable_x64", True)
    rows = []
    for peer in ("hamux", "diffusers", "torchdiffeq", "torchsde"):
        try:
            asked = findings(peer)
        except ImportError:
            rows.append((peer, MISSING))
        else:
            rows += [(peer, metadata.version(peer), call.func.__name__, what, found(call)) for what, call in asked]
    for row in rows:
        print("| " + " | ".join(row) + " |")
    return rows


if __name__ == "__main__":
    main()
