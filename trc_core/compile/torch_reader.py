"""PyTorch reads expression graphs: differentiable dynamics on any device."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trc_core.problem.discretise import rk4
from trc_core.problem.graph import OPERANDS, Algebra
from trc_core.problem.system import System


def _of_tensors(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function of tensors that also takes numbers beside them, or nothing but numbers."""
    number = torch.zeros((), dtype=torch.float64)

    def called(*values: Any) -> Tensor:
        like = next((value for value in values if isinstance(value, Tensor)), number)
        return function(
            *(torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in values)
        )

    return called


def _select(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition != 0.0, a, b)


OPERATORS: Algebra = {
    'add': operator.add,
    'sub': operator.sub,
    'mul': operator.mul,
    'div': operator.truediv,
    'pow': operator.pow,
    'neg': operator.neg,
    'less': _of_tensors(lambda a, b: (a < b).to(a.dtype)),
    'less_equal': _of_tensors(lambda a, b: (a <= b).to(a.dtype)),
    'equal': _of_tensors(lambda a, b: (a == b).to(a.dtype)),
    'select': _of_tensors(_select),
}
TORCH: Algebra = {
    name: OPERATORS.get(name) or _of_tensors(getattr(torch, name)) for name in OPERANDS
}
"""Tensors."""


def torch_step(system: System) -> Callable[..., Tensor]:
    """Differentiable `step(x (..., n_x), u (..., n_u), p (..., n_p) = None) -> (..., n_x)`.

    Without p the system's own parameters hold.
    """
    graph, h = system.graph, system.dt / system.substeps
    own = [float(value) for value in system.p]

    def step(x: Tensor, u: Tensor, p: Tensor | None = None) -> Tensor:
        parameters = own if p is None else p.unbind(-1)

        def derivative(x: Tensor, u: Tensor) -> Tensor:
            inputs = [*x.unbind(-1), *u.unbind(-1), *parameters]
            zero = torch.zeros_like(x[..., 0] + u[..., 0])
            terms = graph.evaluate(inputs, TORCH)['dynamics']
            return torch.stack([zero + term for term in terms], dim=-1)

        for _ in range(system.substeps):
            x = rk4(derivative, x, u, h)
        return x

    return step
