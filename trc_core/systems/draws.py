"""Random problems of a system: by its own function where it has one, else from its boxes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trc_core.problem.system import Array, System
from trc_core.systems.registry import draw_of, why_impossible
from trc_core.systems.shipped import Draw

REDRAWS = 1000  # of a problem whose start violates a constraint


def drawn_states(
    system: System, rng: np.random.Generator, count: int, learning: bool = False
) -> tuple[Array, Array]:
    """Initial states and goals (count, n_x), for the system's own parameters.

    The arguments are those of `drawn_problem`.

    Raises:
        ValueError: as `drawn_problem`.
    """
    fixed = system.final_time is None  # else there may be draws without a solution
    if fixed and not system.task.constraints and draw_of(system, learning) is None:
        return system.sample(rng, count)
    rows = [drawn_problem(system, rng, learning)[:2] for _ in range(count)]
    x0, goal = (np.array(states).reshape(count, system.n_x) for states in zip(*rows, strict=True))
    return x0, goal


def drawn_problem(
    system: System,
    rng: np.random.Generator,
    learning: bool = False,
    hopeless: list[tuple[Array, Array]] | None = None,
) -> tuple[Array, Array, dict[str, float]]:
    """A start (n_x,) from where a plan may exist, a goal (n_x,), and the parameters in `ranges`.

    Args:
        system: the plant.
        rng: draws.
        learning: draw from what is learned from, where a shipped system says that this differs.
        hopeless: takes up the starts and goals that are left out because a certificate says that
            no plan exists.

    Raises:
        ValueError: if nothing but starts that violate a constraint is drawn.
    """
    draw: Draw = draw_of(system, learning) or (lambda rng: _from_boxes(system, rng))
    for _ in range(REDRAWS):
        one = draw(rng)
        if may_start(system, *one):
            return one
        if hopeless is not None and why_impossible(system, one[0], one[2]) is not None:
            hopeless.append(one[:2])
    raise ValueError(
        f"every start of '{system.name}' violates a constraint, with parameters from its "
        'ranges; write a smaller x0_box or narrower ranges'
    )


def _from_boxes(system: System, rng: np.random.Generator) -> tuple[Array, Array, dict[str, float]]:
    (x0,), (goal,) = system.sample(rng, 1)
    (p,) = system.sample_parameters(rng, 1)
    own = dict(zip(system.parameters, p.tolist(), strict=True))
    return x0, goal, {name: own[name] for name in system.ranges}


def may_start(system: System, x0: Array, goal: Array, parameters: Mapping[str, float]) -> bool:
    """Whether no constraint is violated at the start, and a plan from there may exist."""
    if why_impossible(system, x0, parameters) is not None:
        return False
    constraints = system.task.constraints
    p = system.parameter_rows(parameters)
    u = system.trims(goal, p) if constraints.uses_control.any() else system.u_trim
    found = constraints.evaluate(x0, u, goal, list(p), 0.0)
    return all(h <= 0.0 for h in found)
