"""The trim of a system: the control that holds a goal, where it depends on that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trc_core.problem.discretise import RATE
from trc_core.problem.terms import EQUILIBRIUM, Terms, terms_of, traced_trim

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

GOALS = 20  # tried, of the goal box
DIFFERENT = 0.5  # of a drift that another control takes away
NEWTON_STEPS, NEWTON_TOLERANCE = 20, 1e-10
TINY = 1e-200
DAMPING = 1e-9  # of the least-squares steps, relative to the largest slope


class Trim(NamedTuple):
    """The trim of a system in which it depends on the goal."""

    law: Callable[..., Any] | Terms | str
    """A function of the goal and the parameters, or `EQUILIBRIUM`."""
    central: Array
    """What it gives in the middle of the goal box. The very array stands in `System.u_trim`:
    another one there, as `dataclasses.replace` may put it, takes the place of the law."""


def trim_of(system: System) -> Trim | None:
    """The trim of a system in the making; None where it is numbers.

    Raises:
        ValueError: if the function of the user fails, or the middle of the goal box cannot be
            held within the bounds.
    """
    law: Any = system.u_trim
    if system.trim is not None and system.u_trim is system.trim.central:
        law = system.trim.law
    if not (callable(law) or isinstance(law, (str, Terms))):
        return None
    central = _raw_trims(system, law, system.goal_centre, system.p)
    wrong = np.flatnonzero(~((central >= system.u_min) & (central <= system.u_max)))
    if len(wrong):
        name, value = system.control_names[wrong[0]], central[wrong[0]]
        raise ValueError(
            f"u_trim gives {value:g} for '{name}' in the middle of goal_box; it must lie between "
            'u_min and u_max: write another goal_box, or wider bounds'
        )
    if law == EQUILIBRIUM:
        _require_equilibrium(system, central)
    return Trim(law, central)


def trims_of(system: System, law: Any, reference: Array, p: Array) -> Array:
    """The controls (..., n_u) that hold reference states (..., n_x), clipped into the bounds."""
    return np.clip(_raw_trims(system, law, reference, p), system.u_min, system.u_max)


def _raw_trims(system: System, law: Any, reference: Array, p: Array) -> Array:
    rows = reference.shape[:-1]
    own = p if p.ndim == 1 else p.reshape(*p.shape[:-1], *[1] * (len(rows) - p.ndim + 1), -1)
    columns = [np.broadcast_to(values, rows) for values in np.moveaxis(own, -1, 0)]
    if 0 in rows:
        return np.zeros((*rows, system.n_u))
    if isinstance(law, str):
        return _equilibrium(system, reference, columns)
    terms = terms_of(f"u_trim of '{system.name}'", law, system.signature, traced_trim)
    u = np.zeros((*rows, system.n_u))
    with np.errstate(all='ignore'):
        found = terms.evaluate(reference, u, reference, columns, 0.0)
    return np.stack([np.broadcast_to(e, rows) for e in found], axis=-1)


def _require_equilibrium(system: System, u: Array) -> None:
    """Refuses a trim u (n_u,) that does not hold the middle of the goal box.

    It need not be exact: what matters is whether a state drifts out of its `goal_tolerance`
    within a plan.
    """
    with np.errstate(all='ignore'):
        drift = system.derivative(system.goal_centre, u)
    off = np.abs(drift) * system.horizon * system.dt > system.goal_tolerance
    wrong = np.flatnonzero(off | ~np.isfinite(drift))
    if len(wrong):
        name, unit = system.state_names[wrong[0]], system.state_units[wrong[0]]
        raise ValueError(
            "u_trim is 'equilibrium', but no control within the bounds holds the middle of "
            f"goal_box: '{name}' drifts by {drift[wrong[0]]:.3g} {unit} a second; write a "
            'goal_box around a state that can be held, or u_trim as numbers'
        )


def unheld_goal(system: System) -> str | None:
    """Says in a line that a constant u_trim does not hold all goals; None where it does.

    It does not where a state drifts out of its `goal_tolerance` within a plan, or where it has
    none, through the boxes, and another control within the bounds lets it drift less than half.
    """
    if system.trim is not None:
        return None
    _, goals = system.sample(np.random.default_rng(0), GOALS)
    own = [np.full(GOALS, value) for value in system.p]
    better = np.clip(_equilibrium(system, goals, own), system.u_min, system.u_max)
    held = np.broadcast_to(system.u_trim, better.shape)
    with np.errstate(all='ignore'):
        drift, least = system.derivative(goals, held), system.derivative(goals, better)
    width = system.x0_box + system.goal_box
    allowed = np.where(np.isfinite(system.goal_tolerance), system.goal_tolerance, width)
    allowed = np.where(allowed > 0.0, allowed, np.inf)
    share = np.abs(drift) * system.horizon * system.dt / allowed
    changed = np.abs(drift - least) > DIFFERENT * np.abs(drift)
    row, place = np.unravel_index(np.argmax(np.where(changed, share, 0.0)), share.shape)
    if not changed[row, place] or not share[row, place] > 1.0:
        return None
    name, unit = system.state_names[place], system.state_units[place]
    return (
        f"u_trim does not hold all goals of '{system.name}': at one of them '{name}' drifts by "
        f"{drift[row, place]:.3g} {unit} a second; u_trim='equilibrium' holds each"
    )


def _equilibrium(system: System, reference: Array, p: Sequence[Array]) -> Array:
    """The controls for which x' = f(r, u) is smallest, by Gauss-Newton steps (least squares)."""
    shape = (*reference.shape[:-1], system.n_u)
    middle = np.clip(0.0, system.u_min, system.u_max)
    rows, own = reference.reshape(-1, system.n_x), [values.ravel() for values in p]
    N, u = len(rows), np.tile(middle, (len(rows), 1))
    slopes = system.rate_slopes
    for _ in range(NEWTON_STEPS):
        with np.errstate(all='ignore'):
            found = slopes.evaluate([*rows.T, *u.T, *own])
        f = np.stack([np.broadcast_to(e, N) for e in found[RATE]], axis=-1)
        B = np.stack([np.broadcast_to(e, N) for e in found['B']], axis=-1)
        B = B.reshape(N, system.n_x, system.n_u)
        H = np.einsum('bij,bik->bjk', B, B)
        H += DAMPING * max(float(np.abs(H).max()), TINY) * np.eye(system.n_u)
        step = -np.linalg.solve(H, np.einsum('bij,bi->bj', B, f)[..., None])[..., 0]
        new = np.clip(u + step, system.u_min, system.u_max)
        moved = np.abs(new - u).max() <= NEWTON_TOLERANCE * np.abs(new).max()
        u = new
        if moved:
            break
    return np.where(np.isfinite(u), u, middle).reshape(shape)
