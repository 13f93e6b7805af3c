"""What is asked of a controller: the arguments of its plan calls, checked, as problems."""

from __future__ import annotations

from collections.abc import Mapping

from numpy.typing import ArrayLike

from trc_core.checkpoint import Checkpoint
from trc_core.numerics.plan import Plan
from trc_core.numerics.reference import trims_along
from trc_core.planner import inputs
from trc_core.planner.history import History, checked_history
from trc_core.planner.problems import Problems
from trc_core.planner.turns import unwrapped
from trc_core.problem.system import Array
from trc_core.problem.weighting import entry_warnings


class Statement:
    """Reads the arguments of plan calls as problems of one plant.

    Args:
        checkpoint: the plant, and what its network was trained for.
        backend: the name of what plans, for messages.
        adjustable: whether that takes parameters, weights and bounds of a problem.
    """

    bounds: tuple[Array, Array] | None = None
    """The smallest and the largest control (n_u,), where they are not the system's own."""

    def __init__(self, checkpoint: Checkpoint, backend: str, adjustable: bool) -> None:
        self.checkpoint, self.system = checkpoint, checkpoint.system
        self._backend, self._adjustable = backend, adjustable

    def single(
        self,
        x: ArrayLike,
        goal: ArrayLike,
        warm_start: Plan | None,
        elapsed: float | None,
        issued: ArrayLike | None,
        p: ArrayLike | None,
        parameters: Mapping[str, float] | None,
        weights: Mapping[str, ArrayLike] | None,
    ) -> tuple[Problems, History]:
        """One problem, and what was planned before; the arguments are those of `Controller.plan`.

        Raises:
            ValueError: if one of them has the wrong shape or is no number.
        """
        x = inputs.checked_state('x', x, self.system.n_x)
        r, moving = inputs.checked_reference(self.system, goal)
        if issued is not None:
            issued = inputs.checked_state('issued', issued, self.system.n_u)[None]
        if p is not None:
            self.require_adjustable('for its own parameters; those of a single plan')
            p = inputs.checked_state('p', p, len(self.system.parameters))
        if parameters:
            p = self._changed(parameters, None, p)
        history = checked_history(self.system, 1, warm_start, elapsed, issued)
        x = unwrapped(self.system, x, history)
        return self.problems(x[None], r[None], p, weights, moving), history

    def batch(
        self,
        x: ArrayLike,
        goal: ArrayLike,
        warm_start: Plan | None,
        elapsed: ArrayLike | None,
        issued: ArrayLike | None,
        parameters: Mapping[str, ArrayLike] | None,
        weights: Mapping[str, ArrayLike] | None,
    ) -> tuple[Problems, History]:
        """Many problems and their history; the arguments are those of `Controller.plan_batch`.

        Raises:
            ValueError: if one of them has the wrong shape or a number that is not finite.
        """
        x = inputs.checked_states('x', x, self.system.n_x)
        r, moving = inputs.checked_references(self.system, goal, len(x))
        if issued is not None:
            issued = inputs.checked_states('issued', issued, self.system.n_u)
        history = checked_history(self.system, len(x), warm_start, elapsed, issued)
        p = self._changed(parameters, len(x), None) if parameters else None
        return self.problems(x, r, p, weights, moving), history

    def problems(
        self,
        x: Array,
        r: Array,
        p: Array | None = None,
        weights: Mapping[str, ArrayLike] | None = None,
        moving: bool = False,
    ) -> Problems:
        """The problems from states x (B, n_x) along references r (B, T + 1, n_x)."""
        if self.system.angles:
            r = inputs.nearest_turn(self.system, x, r, moving)
        own = inputs.checked_weights(self.system, weights) if weights else None
        if weights or moving:
            self.require_adjustable('to goals and with the weights of its system; others')
        trim = None
        if moving or self.system.trim is not None:
            trim = trims_along(self.system, r, p, moving)
        return Problems(x, r, p=p, bounds=self.bounds, weights=own, trim=trim, moving=moving)

    def parameter_warnings(self, p: Array | None) -> tuple[str, ...]:
        """What a network was not trained for in parameters (n_p,) or (B, n_p) and weights."""
        if self.checkpoint.is_classical:
            return ()
        read = self.checkpoint.coordinates.ranges
        weights = entry_warnings(self.system, read)
        if p is None:
            return weights
        ranges = {**self.system.ranges, **read}
        return (*weights, *inputs.parameter_warnings(self.system, ranges, p))

    def require_adjustable(self, limit: str) -> None:
        """Raises a ValueError where the backend takes nothing else than what `limit` says."""
        if not self._adjustable:
            raise ValueError(f"backend '{self._backend}' plans {limit} need 'numba' or 'numpy'")

    def _changed(
        self, parameters: Mapping[str, ArrayLike], rows: int | None, p: Array | None
    ) -> Array:
        """The parameters (n_p,) or (rows, n_p), changed by name."""
        self.require_adjustable('for the parameters that it was loaded with; others')
        return self.system.parameter_rows(parameters, rows, p)
