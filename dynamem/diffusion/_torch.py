"""A PyTorch module as a `HostModel`: exact derivatives from torch.func, and torch is only imported when asked for."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

import numpy as np

from .._errors import InputError
from .._validate import require_positive
from ._host import HostModel


def torch_model(module: Any, shape: tuple[int, ...], time_scale: float = 1.0) -> HostModel:
    """A PyTorch module ``module(images (B, *shape), time (B,))`` as a model for `Prediction`.

    States are flattened images, (D,) with D the product of ``shape``. They are cast to the precision of the module's
    parameters and back, and computed where these lie. What the module returns is a tensor, or, as in diffusers, has one
    in its field ``sample``. Derivatives are exact: reverse mode is `torch.func.vjp`, and forward mode the transpose of
    this linear map, by `torch.func.vjp` again, since PyTorch's own forward mode lacks rules that networks need (group
    normalisation of transposed images, fused attention).

    Arguments:
        module: a `torch.nn.Module` in evaluation mode.
        shape: shape of one state as the module takes it, such as (channels, height, width).
        time_scale: factor between the time of the schedule and the module's, such as 1000.

    Raises:
        InputError: torch is not installed; the module is none, or in training mode, where its dropout is random.
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        msg = f"module={type(module).__name__}: need a torch.nn.Module, dm.HostModel takes other functions"
        raise InputError(msg)
    if module.training:
        msg = f"module={type(module).__name__} is in training mode, where it may be random: call its eval() first"
        raise InputError(msg)
    require_positive("time_scale", time_scale, scalar=True)
    apply = _applied(torch, module, tuple(shape), time_scale)
    like = next(module.parameters(), torch.zeros(()))

    def tensors(*arrays: np.ndarray) -> list[Any]:
        return [torch.tensor(part, dtype=like.dtype, device=like.device) for part in arrays]

    def back(tensor: Any, x: np.ndarray) -> np.ndarray:
        return tensor.detach().to("cpu", torch.float64).numpy().astype(x.dtype)  # NumPy has no bfloat16

    def function(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return back(apply(*tensors(x, t)), x)

    def jvp(x: np.ndarray, t: np.ndarray, dx: np.ndarray, dt: np.ndarray) -> np.ndarray:
        with _plain_attention(torch):
            pull = torch.func.vjp(apply, *tensors(x, t))[1]
            push = torch.func.vjp(pull, *tensors(np.zeros_like(x)))[1]
            return back(push(tuple(tensors(dx, dt)))[0], x)

    def vjp(x: np.ndarray, t: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dx, dt = torch.func.vjp(apply, *tensors(x, t))[1](*tensors(g))
        return back(dx, x), back(dt, x)

    return HostModel(function, jvp, vjp)


def _torch() -> Any:
    try:
        return import_module("torch")
    except ImportError as missing:
        msg = "module: PyTorch is not installed, install it with pip install 'dynamem[peers]'"
        raise InputError(msg) from missing


def _plain_attention(torch: Any) -> AbstractContextManager:
    """Attention written out: its fused kernels have no second derivative."""
    return torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)


def _applied(torch: Any, module: Any, shape: tuple[int, ...], time_scale: float) -> Callable:
    name = type(module).__name__

    def apply(x: Any, t: Any) -> Any:
        if x.shape[1] != math.prod(shape):
            msg = f"shape={shape!r}: the states have {x.shape[1]} coordinates, {name} would need {math.prod(shape)}"
            raise InputError(msg)
        found: Any = module(x.reshape(-1, *shape), t * time_scale)
        if not isinstance(found, torch.Tensor):
            found = getattr(found, "sample", None)
        size = tuple(getattr(found, "shape", ()))
        if not isinstance(found, torch.Tensor) or math.prod(size) != math.prod(x.shape):
            msg = f"module={name}: gives {size} for states of shape {tuple(x.shape)}: need as many numbers, in a tensor"
            raise InputError(msg)
        return found.reshape(x.shape)

    return apply
