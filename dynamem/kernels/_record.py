"""What the kernel returns."""

import equinox as eqx
from jaxtyping import Array, Float


class Tilt(eqx.Module):
    """Averages under tilted weights ``w_i ~ u_i exp(eta.xi_i - kappa |xi_i|^2 / 2)``; for one query ``*B`` is empty.

    Attributes:
        log_partition: ``A = log sum_i u_i exp(eta.xi_i - kappa |xi_i|^2/2)``, shape (*B,).
        mean: ``m = sum_i w_i xi_i``, shape (*B, D).
        trace: ``tr C = sum_i w_i |xi_i - m|^2``, shape (*B,), never negative.
        kl: ``KL(w || u)`` in nats, shape (*B,), never negative.
    """

    log_partition: Float[Array, "*B"]
    mean: Float[Array, "*B D"]
    trace: Float[Array, "*B"]
    kl: Float[Array, "*B"]


class Retrieval(eqx.Module):
    """Retrieval at noise level ``s``: weights ``w_i ~ u_i exp(-|q - xi_i|^2 / 2 s^2)``.

    Attributes:
        lse: ``log sum_i u_i exp(-|q - xi_i|^2 / 2 s^2)``, shape (*B,), never positive.
        mean: ``m = sum_i w_i xi_i``, the ideal denoiser, shape (*B, D).
        trace: ``tr C = sum_i w_i |xi_i - m|^2``, shape (*B,).
        kl: ``KL(w || u)`` in nats, shape (*B,).
        entropy: Shannon entropy of ``w`` in nats, shape (*B,).
    """

    lse: Float[Array, "*B"]
    mean: Float[Array, "*B D"]
    trace: Float[Array, "*B"]
    kl: Float[Array, "*B"]
    entropy: Float[Array, "*B"]
