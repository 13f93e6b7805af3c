"""Checks of the tensors that a model is given; errors say what is there and what was expected."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_tensor(name: str, value: Tensor, shape: Sequence[int], like: tuple[str, Tensor]) -> None:
    """Refuses a tensor that is not of `shape`, or not of the device and type of another.

    Its values are looked at too, but not while PyTorch compiles or exports the model.

    Raises:
        TypeError: if it is no tensor.
        ValueError: if it is unusable.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f'{name} is a {type(value).__name__}, expected a tensor')
    if tuple(value.shape) != tuple(shape):
        raise ValueError(f'{name} has shape {tuple(value.shape)}, expected {tuple(shape)}')
    reference, other = like
    if value.dtype != other.dtype:
        raise ValueError(
            f'{name} {tuple(shape)} is {value.dtype}, expected {other.dtype} as {reference}'
        )
    if value.device != other.device:
        raise ValueError(
            f'{name} {tuple(shape)} is on {value.device}, expected {other.device} as {reference}'
        )
    if not torch.compiler.is_compiling() and not torch.isfinite(value).all():
        raise ValueError(f'{name} {tuple(shape)} is not finite')


def check_states(
    current_state: Tensor, target_state: Tensor, state_dim: int, weight: Tensor
) -> None:
    """Refuses states that are not (B, n_x), floating-point, finite and where the weights are.

    Raises:
        TypeError, ValueError: as `check_tensor`.
    """
    if isinstance(current_state, Tensor):
        batch = current_state.shape[0] if current_state.dim() else 1
        if not current_state.is_floating_point():
            raise ValueError(
                f'current_state {tuple(current_state.shape)} is {current_state.dtype}, '
                f'expected a floating-point type'
            )
        if current_state.device != weight.device:
            raise ValueError(
                f'current_state {tuple(current_state.shape)} is on {current_state.device}, '
                f'expected {weight.device} as the weights'
            )
    else:
        batch = 1
    same = 'current_state', current_state
    check_tensor('current_state', current_state, (batch, state_dim), same)
    check_tensor('target_state', target_state, (batch, state_dim), same)


def checked_time(time_remaining: Tensor | None, current_state: Tensor) -> Tensor:
    """The fraction of the horizon that is left, as (B, 1); 1 by default.

    Raises:
        TypeError, ValueError: as `check_tensor`, for a tensor that is neither (B,) nor (B, 1).
    """
    if time_remaining is None:
        return torch.ones_like(current_state[:, :1])
    batch = current_state.shape[0]
    flat = isinstance(time_remaining, Tensor) and time_remaining.dim() == 1
    shape = (batch,) if flat else (batch, 1)
    check_tensor('time_remaining', time_remaining, shape, ('current_state', current_state))
    return time_remaining.view(-1, 1)
