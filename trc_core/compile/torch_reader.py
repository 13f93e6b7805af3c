"""PyTorch reads expression graphs: differentiable dynamics on any device."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trc_core.problem.discretise import output_of, rk4
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


def _smaller(a: Tensor, b: Tensor) -> Tensor:
    return torch.where((a <= b) | a.isnan(), a, b)  # torch.minimum shares the slope of a tie


def _larger(a: Tensor, b: Tensor) -> Tensor:
    return torch.where((a >= b) | a.isnan(), a, b)


def _has_slope(a: Tensor, b: Tensor) -> Tensor:
    """Where a ** b has a slope."""
    return (a > 0.0) | ((a < 0.0) & (b == b.floor())) | ((a == 0.0) & (b >= 1.0))


def _power(a: Tensor, b: Tensor) -> Tensor:
    positive = a > 0.0  # elsewhere the exponent is a whole number, and has no slope
    return torch.where(positive, torch.where(positive, a, 1.0) ** b, a ** b.floor())


SMOOTH: dict[str, Callable[..., Tensor]] = {
    'sqrt': lambda a: a > 0.0,
    'log': lambda a: a > 0.0,
    'asin': lambda a: a.abs() < 1.0,
    'acos': lambda a: a.abs() < 1.0,
    'acosh': lambda a: a > 1.0,
    'atanh': lambda a: a.abs() < 1.0,
    'div': lambda a, b: b != 0.0,
    'atan2': lambda a, b: (a != 0.0) | (b != 0.0),
    'pow': _has_slope,
}
"""Where operations have a finite slope. Elsewhere it is 0, as in `problem.derivative`: NaN would
spread to every state, also out of a branch that does not hold."""
INSIDE = {'acosh': 2.0, 'asin': 0.5, 'acos': 0.5, 'atanh': 0.5}  # others at 1: there it is finite


def _smooth(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operation whose slope is 0 where it would not be finite."""
    holds, inside = SMOOTH[name], INSIDE.get(name, 1.0)

    def called(*values: Tensor) -> Tensor:
        if not any(value.requires_grad for value in values):
            plain: Tensor = getattr(torch, name)(*values)
            return plain
        smooth = holds(*values)
        moved = [torch.where(smooth, value, inside) for value in values]
        plain = getattr(torch, name)(*(value.detach() for value in values))
        return torch.where(smooth, function(*moved), plain)

    return called


_by_tensor = _of_tensors(_smooth('div', torch.div))


def _divided(a: Any, b: Any) -> Any:
    return _by_tensor(a, b) if isinstance(b, Tensor) else a / b


OPERATORS: Algebra = {
    'add': operator.add,
    'sub': operator.sub,
    'mul': operator.mul,
    'neg': operator.neg,
    'less': _of_tensors(lambda a, b: (a < b).to(a.dtype)),
    'less_equal': _of_tensors(lambda a, b: (a <= b).to(a.dtype)),
    'equal': _of_tensors(lambda a, b: (a == b).to(a.dtype)),
    'select': _of_tensors(_select),
    'minimum': _of_tensors(_smaller),
    'maximum': _of_tensors(_larger),
    'div': _divided,
    'pow': _of_tensors(_smooth('pow', _power)),
    **{
        name: _of_tensors(_smooth(name, getattr(torch, name)))
        for name in SMOOTH
        if name not in ('div', 'pow')
    },
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

        def dynamics(x: Tensor, u: Tensor) -> Tensor:
            inputs = [*x.unbind(-1), *u.unbind(-1), *parameters]
            zero = torch.zeros_like(x[..., 0] + u[..., 0])
            terms = graph.evaluate(inputs, TORCH)[output_of(graph)]
            return torch.stack([zero + term for term in terms], dim=-1)

        if system.discrete:
            return dynamics(x, u)
        for _ in range(system.substeps):
            x = rk4(dynamics, x, u, h)
        return x

    return step
