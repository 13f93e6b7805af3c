"""Parameters that can be learned in flight: how far each may be from the model's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trc_core.flight.adaptation_kernels import deviated
from trc_core.problem.discretise import output_of
from trc_core.problem.system import Array, System

UNIFORM = 1 / 12  # variance of a deviation that may be anywhere in its range
STATES, CHANGE = 40, 1e-6  # that say how strong a parameter is; its change, from zero
FELT = 1e-9  # share by which controls must change with a parameter for that to count


@dataclass(frozen=True, eq=False)
class Learnable:
    """The parameters of a system that can be learned, and their deviations from the model's.

    The deviation of most is the logarithm of the ratio to the model's. Those that are zero, or may
    become so in their range, have a range: their deviation is the difference, in widths of it.
    """

    is_learned: NDArray[np.bool_]
    """Whether the dynamics read a parameter, and it has a ratio or a range (n_p,)."""
    widths: Array
    """Of the ranges (n_p,) of those whose deviation is a difference; 0 of the others."""
    low: Array
    """Least value (n_p,) of those with a range."""
    high: Array
    """Largest value (n_p,) of those with a range."""
    variance: Array
    """Of the deviations (n_p,) before any motion."""
    largest: float
    """Largest deviation of the others."""
    weakening: Array
    """Sign (n_p,) of the deviations under which the controls do less; 0 of those that leave them
    as they are, and of all where the duration of plans is fixed."""

    @classmethod
    def of(cls, system: System, uncertainty: float, limit: float) -> Learnable:
        """The parameters that the dynamics of a system read.

        A parameter that is zero and has no range in `System.ranges` is sought to either side, as
        far as the controls could make up for it.

        Args:
            system: the plant as it is modelled.
            uncertainty: standard deviation of a ratio, or as a share of what the controls can
                make up for; within a given range every value is equally likely.
            limit: largest ratio to the model's, less 1.
        """
        n_p = len(system.p)
        low, high = np.zeros(n_p), np.zeros(n_p)
        variance = np.full(n_p, uncertainty**2)
        read = system.graph.entries_read('p')
        for place, name in enumerate(system.parameters):
            least, most = system.ranges.get(name, (0.0, 0.0))
            is_zero = system.p[place] == 0.0
            if least < most and (is_zero or least <= 0.0 <= most):
                low[place], high[place], variance[place] = least, most, UNIFORM
            elif is_zero and place in read:
                reach = _reach(system, place)
                low[place], high[place], variance[place] = -reach, reach, (uncertainty / 2) ** 2
        has_range = low < high
        known = [place in read for place in range(n_p)]
        is_learned = np.array(known, dtype=np.bool_) & (has_range | (system.p != 0.0))
        variance = np.where(is_learned, variance, 0.0)
        weakening = np.where(is_learned, _weakening(system, high - low), 0.0)
        return cls(is_learned, high - low, low, high, variance, math.log1p(limit), weakening)

    def values(self, deviation: Array, model: Array) -> Array:
        """The parameters (n_p,) that deviate so from a model's (n_p,)."""
        return deviated(self.widths, deviation, model)

    def cautious(self, deviation: Array, spread: Array, model: Array) -> Array:
        """Deviations (n_p,) that leave the controls less to do than is probable.

        They are those that were found, worse by their spread, and never better than the model's.

        Args:
            deviation: that was found (n_p,).
            spread: what may be missing of it (n_p,), 0 or more.
            model: the parameters (n_p,) of the model.
        """
        worse = self.weakening * np.maximum(self.weakening * deviation + spread, 0.0)
        low, high = self.limits(model)
        return np.clip(np.where(self.weakening != 0.0, worse, deviation), low, high)

    def limits(self, model: Array) -> tuple[Array, Array]:
        """The lowest and the largest deviation (n_p,) from a model; its own is always between."""
        has_range = self.widths > 0.0
        width = np.where(has_range, self.widths, 1.0)
        low = np.where(has_range, np.minimum(self.low - model, 0.0) / width, -self.largest)
        high = np.where(has_range, np.maximum(self.high - model, 0.0) / width, self.largest)
        return low, high


def _reach(system: System, place: int) -> float:
    """The value of a parameter that is zero for which some control needs half of its range.

    It is the least one over states drawn from the box, which their trims hold if they can be held;
    0 where the controls have nothing to do with the parameter.
    """
    x, _ = system.sample(np.random.default_rng(0), STATES)
    u = system.trims(x)
    p = [np.full(STATES, value) for value in system.p]
    moved = [values + CHANGE * (i == place) for i, values in enumerate(p)]
    with np.errstate(all='ignore'):
        found = system.slopes.evaluate([*x.T, *u.T, *p])
        changed = system.graph.evaluate([*x.T, *u.T, *moved])
    f, after = (_rows(values[output_of(system.graph)]) for values in (found, changed))
    effect = (after - f) / CHANGE
    B = _rows(found['B']).reshape(STATES, system.n_x, system.n_u)
    if not np.isfinite(effect).all() or not np.isfinite(B).all():
        return 0.0
    needed = np.abs(np.linalg.pinv(B) @ effect[..., None])[..., 0]
    share = (needed / (0.5 * (system.u_max - system.u_min))).max()
    return float(1.0 / share) if share > 0.0 else 0.0


def _weakening(system: System, widths: Array) -> Array:
    """Signs (n_p,) of the changes of parameters under which the controls do less.

    Plans of a fixed duration seldom sit on the limits of their controls, and have none.
    """
    if system.final_time is None:
        return np.zeros(len(system.p))
    rng = np.random.default_rng(0)
    x, _ = system.sample(rng, STATES)
    u = rng.uniform(system.u_min, system.u_max, (STATES, system.n_u))

    def effect(p: Array) -> Array:
        columns = [np.full(STATES, value) for value in p]
        found = np.abs(_rows(system.slopes.evaluate([*x.T, *u.T, *columns])['B']))
        return found.reshape(STATES, system.n_x, system.n_u).sum((0, 2))

    before, signs = effect(system.p), np.zeros(len(system.p))
    for place, width in enumerate(widths):
        moved = system.p.copy()
        moved[place] += CHANGE * (width if width > 0.0 else moved[place])
        change = (effect(moved) - before) / np.where(before > 0.0, before, 1.0)
        total = float(change.sum())
        signs[place] = -np.sign(total) if abs(total) > FELT else 0.0
    return signs


def _rows(values: list[Array]) -> Array:
    """Outputs of a graph (STATES, n)."""
    return np.stack([np.broadcast_to(value, STATES) for value in values], axis=-1)
