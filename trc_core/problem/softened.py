"""The soft twin of a system: its constraints as squares in the cost, with a penalty each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trc_core.problem.expression import EXPRESSIONS, Tape
from trc_core.problem.system import System
from trc_core.problem.terms import OUTPUT, Terms, joined, term_inputs
from trc_core.problem.trace import Signature


def softened(system: System, penalties: Sequence[float]) -> System:
    """The same plant without constraints, with J + sum rho max(0, h)^2 / 2 as its cost.

    That is the augmented Lagrangian of multipliers zero (`numerics/lagrangian.py`). Its minimum
    violates a constraint by its multiplier over rho, wherever it holds one, and is a smooth
    function of the problem; what is added is a residual sqrt(rho / 2) max(0, h), at the steps
    where the constraint holds. A violation at the start counts as well: no plan changes it.

    Args:
        system: the plant.
        penalties: rho of every constraint, state limits among them, in the order of
            `system.task.constraints`.

    Raises:
        ValueError: if there are not as many penalties as constraints.
    """
    task, signature = system.task, system.signature
    names, roots = task.constraints.names, [math.sqrt(rho / 2) for rho in penalties]
    if len(roots) != len(names):
        raise ValueError(
            f"'{system.name}' has {len(names)} constraints, got {len(roots)} penalties"
        )
    every = range(len(names))
    at_the_end = [i for i in every if not task.constraints.uses_control[i]]
    stage = _squared(task.constraints, every, roots, signature)
    end = _squared(task.constraints, at_the_end, roots, signature)
    soft: dict[str, Any] = {
        'residuals': joined([('', task.residuals), ('soft ', stage)], signature),
        'terminal_residuals': joined([('', task.terminal_residuals), ('soft ', end)], signature),
    }
    return replace(system, constraints=None, x_min=None, x_max=None, **soft)


def _squared(
    terms: Terms, chosen: Sequence[int], roots: Sequence[float], signature: Signature
) -> Terms:
    """The residuals roots max(0, h) of some constraints."""
    inputs, tape = term_inputs(signature), Tape()
    arguments = tape.inputs(sum(inputs.values()))
    found = terms.graph.evaluate(arguments, EXPRESSIONS)[OUTPUT]
    expressions = [tape.expression(found[i]) for i in chosen]
    maximum = EXPRESSIONS['maximum']
    values = [
        tape.expression(roots[i] * maximum(h, 0.0))
        for i, h in zip(chosen, expressions, strict=True)
    ]
    return Terms(tuple(terms.names[i] for i in chosen), tape.graph(inputs, {OUTPUT: values}))
