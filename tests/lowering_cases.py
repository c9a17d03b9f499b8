"""Kinds of code with random shapes and parameters in mind, as ``name: (function, shape of its input)``."""

import jax
import jax.numpy as jnp
from jax import lax


@jax.custom_vjp
def cv(x):
    return jnp.sin(x) * x


cv.defvjp(lambda x: (cv(x), x), lambda x, g: (g * (jnp.cos(x) * x + jnp.sin(x)),))


@jax.custom_jvp
def cj(x):
    return jnp.exp(x) * x


cj.defjvp(lambda p, t: (cj(p[0]), t[0] * (jnp.exp(p[0]) * (1 + p[0]))))


def nested(x):
    return jax.jit(lambda y: jax.jit(jnp.tanh)(y) + 1)(x)


KINDS = {
    "fill0": (lambda x: x.at[jnp.array([1, 9, -1])].get(mode="fill", fill_value=0.0), (4,)),
    "fill2": (lambda x: x.at[jnp.array([1, 9, 2])].get(mode="fill", fill_value=2.5), (4,)),
    "clip gather": (lambda x: x.at[jnp.array([1, 9, 2])].get(mode="clip"), (4,)),
    "take2d": (lambda x: x.reshape(3, 4)[jnp.array([2, 0]), jnp.array([1, 3])], (12,)),
    "take rows": (lambda x: x.reshape(3, 4)[:, jnp.array([2, 0, 0])], (12,)),
    "neg int pow arr": (lambda x: (x - 0.5) ** jnp.array([2, 3, 2]), (3,)),
    "float pow arr": (lambda x: (x - 0.5) ** jnp.array([2.0, 3.0, 1.0]), (3,)),
    "float pow arr frac": (lambda x: x ** jnp.array([2.0, 0.5, -1.5]), (3,)),
    "pow0": (lambda x: (x - 0.5) ** 0 + x**1 + x**-3, (3,)),
    "pow scalar base": (lambda x: 2.0**x + jnp.float64(0.3) ** x, (3,)),
    "pow neg half": (lambda x: x**-0.5 + x**1.5 + x**-2.5, (3,)),
    "pow int dyn": (lambda x: lax.integer_pow(x - 0.5, -4) + lax.integer_pow(x, 7), (3,)),
    "bool where": (lambda x: jnp.where(jnp.where(x > 0.5, x < 0.7, x > 0.2), x, -x), (5,)),
    "bool cond": (lambda x: jnp.where(lax.cond(x[0] > x[1], lambda: x[0] > 0.3, lambda: x[1] < 0.4), x, 2 * x), (2,)),
    "int floordiv": (lambda x: ((x > 0.3).astype(int) * 3 // 2).astype(float) * x, (5,)),
    "int rem": (lambda x: (((x > 0.3).astype(int) * 5) % 3).astype(float) * x, (5,)),
    "int neg floordiv": (lambda x: ((x > 0.3).astype(int) * -3 // 2).astype(float) * x, (5,)),
    "xor": (lambda x: jnp.where((x > 0.5) ^ (x > 0.2), x, 0.0), (5,)),
    "count": (lambda x: x * jnp.sum(x > 0.5), (5,)),
    "all any": (lambda x: jnp.where(jnp.all(x > 0.1), x, 0.0) + jnp.where(jnp.any(x > 0.8), x, 1.0), (3,)),
    "all axis": (
        lambda x: (
            jnp.where(jnp.all(x.reshape(2, 3) > 0.3, axis=0), x[:3], 0.0)
            + jnp.where(jnp.any(x.reshape(3, 2) > 0.8, axis=1), x[3:], 1.0)
        ),
        (6,),
    ),
    "select3": (
        lambda x: lax.select_n((x > 0.3).astype(jnp.int32) + (x > 0.6).astype(jnp.int32), x, 2 * x, 3 * x),
        (5,),
    ),
    "select3 static": (lambda x: lax.select_n(jnp.array([0, 2, 1, 1, 0], jnp.int32), x, 2 * x, 3 * x), (5,)),
    "switch3": (lambda x: lax.switch(jnp.sum(x > 0.5), [jnp.sin, jnp.cos, jnp.exp], x), (2,)),
    "switch static": (lambda x: lax.switch(7, [jnp.sin, jnp.cos, jnp.exp], x), (2,)),
    "cond multi": (lambda x: lax.cond(x[0] > 0.5, lambda a: (a, jnp.sum(a)), lambda a: (2 * a, jnp.max(a)), x), (3,)),
    "scan0": (lambda x: lax.scan(lambda c, a: (c + a, c * a), x[0], x[:0]), (3,)),
    "scan rev": (
        lambda x: lax.scan(
            lambda c, a: (c * a[0] + a[1] + x[0], (c, a[0] * x)), 1.0, (x, jnp.arange(3.0)), reverse=True
        ),
        (3,),
    ),
    "scan2d": (lambda x: lax.scan(lambda c, a: (jnp.tanh(c) + a, c[::-1]), x[:2], x.reshape(3, 2)), (6,)),
    "scan int carry": (lambda x: lax.scan(lambda c, a: ((c[0] + 1, c[1] + a * c[0]), c[0]), (0, 0.0), x)[0][1], (3,)),
    "scan unroll": (lambda x: lax.scan(lambda c, a: (c * a, None), 1.0, x, unroll=2)[0], (4,)),
    "scan const idx": (lambda x: lax.fori_loop(0, 3, lambda i, c: c + x[i] * i, 0.0), (3,)),
    "map": (lambda x: lax.map(lambda a: a * jnp.sum(x), x), (3,)),
    "assoc": (lambda x: lax.associative_scan(jnp.multiply, x), (5,)),
    "cumsum rev": (
        lambda x: lax.cumsum(x.reshape(2, 3), axis=0, reverse=True) + lax.cumsum(x.reshape(2, 3), axis=1),
        (6,),
    ),
    "sort ax0": (lambda x: jnp.sort(x.reshape(3, 2), axis=0), (6,)),
    "sort desc": (lambda x: jnp.sort(x, descending=True), (4,)),
    "topk": (lambda x: lax.top_k(x.reshape(2, 3), 2)[0], (6,)),
    "topk ax": (lambda x: lax.top_k(x.reshape(3, 2), 2, axis=0)[0], (6,)),
    "pad neg": (lambda x: lax.pad(x, 2.5, [(-1, 2, 1)]), (4,)),
    "pad neg2": (lambda x: lax.pad(x.reshape(2, 3), x[0], [(1, -1, 0), (0, 1, 2)]), (6,)),
    "rev": (lambda x: lax.rev(x.reshape(2, 3), (0, 1))[:, 1:], (6,)),
    "reshape dims": (lambda x: lax.reshape(x.reshape(2, 3), (6,), dimensions=(1, 0)), (6,)),
    "split": (lambda x: jnp.concatenate([a * k for k, a in enumerate(jnp.split(x, [1, 3]), 1)]), (5,)),
    "roll": (lambda x: jnp.roll(x, 2) * x, (5,)),
    "dynslice": (lambda x: lax.dynamic_slice(x, (9,), (2,)), (5,)),
    "dynupd": (lambda x: lax.dynamic_update_slice(x, 2 * x[:2], (4,)), (5,)),
    "clamp": (lambda x: lax.clamp(0.3, x, 0.6) + lax.clamp(0.2 * x, x * x, jnp.full(3, 0.5)), (3,)),
    "clamp crossed": (lambda x: jnp.clip(x, 0.6, 0.3), (3,)),
    "scatter add dup": (lambda x: jnp.zeros((3, 2)).at[jnp.array([0, 2, 0])].add(x.reshape(3, 2)), (6,)),
    "scatter add oob": (lambda x: x.at[jnp.array([0, 9, 1])].add(x[:3]), (4,)),
    "scatter add oob clip": (lambda x: x.at[jnp.array([0, 9, 1])].add(x[:3], mode="clip"), (4,)),
    "scatter set": (lambda x: x.at[jnp.array([0, 2])].set(x[:2] * 3), (4,)),
    "scatter add many": (lambda x: jnp.zeros(3).at[jnp.arange(120) % 3].add(jnp.tile(x, 30)), (4,)),
    "scatter sub": (lambda x: x.at[jnp.array([0, 0])].subtract(x[:2]), (4,)),
    "bdot": (lambda x: lax.dot_general(x.reshape(2, 3, 2), x.reshape(2, 2, 3), (((1,), (2,)), ((0,), (0,)))), (12,)),
    "bdot2": (
        lambda x: lax.dot_general(x.reshape(2, 3, 2), x.reshape(3, 2, 2), (((0,), (1,)), ((1, 2), (0, 2)))),
        (12,),
    ),
    "dot outer": (lambda x: jnp.outer(x, x) @ x, (3,)),
    "einsum": (lambda x: jnp.einsum("ijk,kj->i", x.reshape(2, 3, 2), x[:6].reshape(2, 3)), (12,)),
    "dot none": (lambda x: lax.dot_general(x, x, (((), ()), ((), ()))), (2,)),
    "vdot": (lambda x: jnp.vdot(x, 2 * x), (3,)),
    "cv": (cv, (3,)),
    "cvg": (jax.grad(lambda x: jnp.sum(cv(x))), (3,)),
    "cj": (cj, (3,)),
    "cjg": (jax.grad(lambda x: jnp.sum(cj(x))), (3,)),
    "nested": (jax.vmap(nested), (3,)),
    "hess": (jax.hessian(lambda x: jnp.sum(cj(x) * jnp.tanh(x[::-1]))), (3,)),
    "remat": (jax.grad(jax.checkpoint(lambda x: jnp.sum(jnp.sin(x) ** 2))), (3,)),
    "weak": (lambda x: x * 2 + 1 - 3 / (x + 1), (3,)),
    "empty sum": (lambda x: jnp.sum(x[:0]) + x, (3,)),
    "empty prod": (lambda x: jnp.prod(x[:0]) * x, (3,)),
    "empty max": (lambda x: jnp.maximum(jnp.max(x[:0], initial=0.2), x), (3,)),
    "empty where": (lambda x: jnp.concatenate([jnp.where(jnp.zeros(0, bool), x[:0], 1.0), x]), (3,)),
    "empty dot": (lambda x: x[:0] @ x[:0] + x, (3,)),
    "empty cumsum": (lambda x: jnp.sum(jnp.cumsum(x[:0])) + x, (3,)),
    "empty out": (lambda x: (x[:0], x), (3,)),
    "sum axes": (lambda x: jnp.sum(x.reshape(2, 3, 2), axis=(0, 2)) * jnp.max(x.reshape(2, 3, 2), axis=1).sum(), (12,)),
    "prod": (lambda x: jnp.prod(x.reshape(2, 3), axis=0), (6,)),
    "atan2": (lambda x: jnp.arctan2(x - 0.5, x - 0.7), (4,)),
    "mod neg": (lambda x: (x - 0.5) % 0.3 + jnp.fmod(x - 0.5, 0.3) + jnp.remainder(-x, 0.3), (4,)),
    "trunc": (lambda x: jnp.trunc(3 * x - 1.5), (4,)),
    "fix": (lambda x: jnp.sign(x - 0.5) * jnp.floor(jnp.abs(4 * x - 2)), (4,)),
    "logs": (lambda x: jnp.log2(x) + jnp.log10(x) + jnp.log1p(x) + jnp.exp2(x) + jnp.logaddexp2(x, 2 * x), (3,)),
    "sinc": (lambda x: jnp.sinc(x), (3,)),
    "softmaxes": (
        lambda x: jax.nn.softmax(x.reshape(2, 3), axis=0) + jax.nn.log_softmax(x.reshape(2, 3), axis=1),
        (6,),
    ),
    "lse axis": (lambda x: jax.nn.logsumexp(x.reshape(2, 3), axis=0, b=jnp.array([[1.0], [2.0]])), (6,)),
    "relu6 elu": (
        lambda x: (
            jax.nn.relu6(8 * x)
            + jax.nn.elu(x - 0.5)
            + jax.nn.leaky_relu(x - 0.5)
            + jax.nn.hard_tanh(3 * x)
            + jax.nn.selu(x)
            + jax.nn.gelu(x)
        ),
        (4,),
    ),
    "var std": (lambda x: jnp.var(x) + jnp.std(x) + jnp.linalg.norm(x, ord=1) + jnp.linalg.norm(x, ord=jnp.inf), (4,)),
    "trace": (lambda x: jnp.trace(x.reshape(3, 3)) + jnp.tril(x.reshape(3, 3)).sum(), (9,)),
    "argmax onehot": (lambda x: x * jax.nn.one_hot(1, 3), (3,)),
    "det": (lambda x: jnp.linalg.det(x.reshape(2, 2)), (4,)),
    "diag": (lambda x: jnp.diag(x) @ x, (3,)),
    "meshgrid": (lambda x: sum(jnp.meshgrid(x, 2 * x)), (3,)),
    "while": (lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, x))[1], (2,)),
    "polyval": (lambda x: jnp.polyval(jnp.array([1.0, 2.0, 3.0]), x), (3,)),
    "complexfree": (lambda x: jnp.real(x), (3,)),
    "stopgrad": (lambda x: lax.stop_gradient(x) * x, (3,)),
    "isfinite": (lambda x: jnp.where(jnp.isfinite(x), x, 0.0), (3,)),
    "abs grad": (jax.grad(lambda x: jnp.sum(jnp.abs(x - 0.5))), (4,)),
    "cond grad": (jax.grad(lambda x: lax.cond(x[0] > 0.5, lambda a: jnp.sum(a**2), lambda a: jnp.prod(a), x)), (3,)),
    "scan grad": (jax.grad(lambda x: lax.scan(lambda c, a: (jnp.sin(c) * a, None), 1.0, x)[0]), (4,)),
    "cumsum grad": (jax.grad(lambda x: jnp.sum(jnp.cumsum(x) ** 2)), (4,)),
    "sq": (lambda x: jnp.square(x) + lax.rsqrt(x) + lax.square(x - 1), (3,)),
    "expand": (lambda x: jnp.expand_dims(x, 0) + jnp.ones((2, 3)), (3,)),
    "ne eq": (lambda x: jnp.where(x != x[0], x, 1.0) + jnp.where((x > 0.5) == (x > 0.2), x, 2.0), (3,)),
}

REFUSED = {
    "wraps around": (lambda x: ((x > 0.5).astype(jnp.uint8) - jnp.uint8(1)).astype(float) * x, (3,)),
    "int8, which wraps around": (lambda x: ((x > 0.5).astype(jnp.int8) * jnp.int8(100)).astype(float) * x, (3,)),
    "argmax": (lambda x: jnp.select([x < 0.3, x < 0.6], [x, x * x], -x), (3,)),
    "carries other arrays along": (lambda x: lax.sort((x, -x), num_keys=1)[0], (3,)),
    "positions that depend on the state": (lambda x: x[jnp.sum(x > 0.5)], (3,)),
    "met twice or outside": (lambda x: x.at[jnp.array([0, 9])].set(x[:2]), (3,)),
    "round": (lambda x: jnp.round(3 * x), (3,)),
    "scatter-mul": (lambda x: x.at[0].multiply(2.0), (3,)),
}
"""What the message says, and code that has no translation."""
