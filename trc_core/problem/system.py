"""The `System`: one plant, its physics, its limits and its task, stated once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trc_core.problem.checks import checked
from trc_core.problem.discretise import rk4, rk4_slopes, slopes_graph
from trc_core.problem.graph import Graph
from trc_core.problem.trace import Signature, dynamics_graph

Array = NDArray[np.float64]


class Joint(NamedTuple):
    """Where a joint's coordinates stand in x and u; None where it has no such coordinate."""

    name: str
    position: int | None = None
    velocity: int | None = None
    effort: int | None = None


@dataclass(frozen=True, eq=False)
class System:
    """A plant with sampled controls and a quadratic task.

    J = sum over t < T of (x_t - g)' Q (x_t - g) + (u_t - u_trim)' R (u_t - u_trim)
        + (x_T - g)' Q_f (x_T - g), with no factor dt.

    `Q` and `R` may be given as diagonals; they are stored as matrices.

    Raises:
        ValueError: if a number is not finite, a vector has the wrong length, a bound is inverted,
            a weight is not positive (R) or not positive semi-definite (Q), or a name occurs
            twice or cannot be used in code; the message names the field.
    """

    name: str
    """Letters, digits and underscores; it becomes part of file names."""
    dynamics: Callable[..., Sequence[Any]]
    """`dynamics(x, u, **parameters)`: the time derivative of x, written with NumPy's functions,
    SymPy's or CasADi's."""
    state_names: tuple[str, ...]
    state_units: tuple[str, ...]
    control_names: tuple[str, ...]
    control_units: tuple[str, ...]
    joints: tuple[Joint, ...]
    dt: float
    """Sampling period of the plan [s]; the control is held over it."""
    horizon: int
    """Number of control steps T."""
    u_min: Array
    u_max: Array
    Q: Array
    R: Array
    x0_box: Array
    """Half widths of the box from which initial states are drawn."""
    goal_box: Array
    u_trim: Array = field(default=None)  # type: ignore[arg-type]
    """Control that holds the plant at the goal; zeros by default."""
    Q_f: Array = field(default=None)  # type: ignore[arg-type]
    """Terminal weight; 20 Q by default."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    substeps: int = 1
    """RK4 steps within a dt; more where one is not accurate enough."""

    def __post_init__(self) -> None:
        try:
            values = checked(self)
        except ValueError as error:
            raise ValueError(f"system '{self.name}': {error}") from None
        values['parameters'] = MappingProxyType(values['parameters'])
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only parameters cannot be pickled: make them again.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values['parameters'] = dict(self.parameters)
        return partial(type(self), **values), ()

    @property
    def n_x(self) -> int:
        return len(self.state_names)

    @property
    def n_u(self) -> int:
        return len(self.control_names)

    @cached_property
    def p(self) -> Array:
        """The parameters (n_p,), in the order of their declaration."""
        return np.array(list(self.parameters.values()), dtype=np.float64)

    @property
    def graph(self) -> Graph:
        """The dynamics as an expression graph.

        Raises:
            ValueError: if the dynamics fail; the message says where.
        """
        signature = Signature(self.n_x, self.n_u, tuple(self.parameters))
        return dynamics_graph(self.name, self.dynamics, signature)

    def derivative(self, x: Any, u: Any) -> Any:
        """The time derivative (..., n_x) at x (..., n_x) and u (..., n_u)."""
        inputs = [*np.moveaxis(x, -1, 0), *np.moveaxis(u, -1, 0), *self.p]
        found = self.graph.evaluate(inputs)['dynamics']
        return np.stack([np.broadcast_to(e, np.shape(x)[:-1]) for e in found], axis=-1)

    def step(self, x: ArrayLike, u: ArrayLike, dt: float | None = None) -> Array:
        """The states (..., n_x) after holding u (..., n_u) for `dt` seconds.

        The plan's dt by default. NumPy interprets the dynamics; `compile.binding.plant_of` has
        them as machine code.
        """
        state, control = np.asarray(x, dtype=np.float64), np.asarray(u, dtype=np.float64)
        h = (self.dt if dt is None else dt) / self.substeps
        for _ in range(self.substeps):
            state = rk4(self.derivative, state, control, h)
        return state

    def step_jacobian(
        self, x: ArrayLike, u: ArrayLike, dt: float | None = None
    ) -> tuple[Array, Array]:
        """Exact A (n_x, n_x) and B (n_x, n_u) of `step` at (x, u)."""
        x, u = np.asarray(x, dtype=np.float64), np.asarray(u, dtype=np.float64)
        h = (self.dt if dt is None else dt) / self.substeps
        A, B = np.eye(self.n_x), np.zeros((self.n_x, self.n_u))
        for _ in range(self.substeps):
            slopes = rk4_slopes(self._slopes, x, u, h)
            A_k, B_k = np.split(slopes, [self.n_x], axis=1)
            A, B = A_k @ A, A_k @ B + B_k
            x = rk4(self.derivative, x, u, h)
        return np.ascontiguousarray(A), np.ascontiguousarray(B)

    def _slopes(self, x: Array, u: Array) -> tuple[Array, Array]:
        found = slopes_graph(self.graph).evaluate([*x, *u, *self.p])
        by_x = np.array(found['A']).reshape(self.n_x, self.n_x)
        by_u = np.array(found['B']).reshape(self.n_x, self.n_u)
        return np.array(found['dynamics']), np.concatenate([by_x, by_u], axis=1)

    def sample(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Draws n initial states and goals, each (n, n_x), uniformly from the boxes."""
        x0 = rng.uniform(-self.x0_box, self.x0_box, (n, self.n_x))
        goal = rng.uniform(-self.goal_box, self.goal_box, (n, self.n_x))
        return x0, goal

    def with_parameters(self, **parameters: float) -> System:
        """The same plant with other physical parameters.

        Raises:
            ValueError: if a parameter does not exist, and the message lists those that do, or if
                it is not finite.
        """
        unknown = sorted(set(parameters) - set(self.parameters))
        if unknown:
            raise ValueError(
                f"system '{self.name}' has no parameter {unknown}; "
                f'choose from {sorted(self.parameters)}'
            )
        return replace(self, parameters={**self.parameters, **parameters})

    def __deepcopy__(self, memo: dict[int, Any]) -> System:
        return self  # immutable

    def contract(self) -> dict[str, Any]:
        """Everything a trained network depends on, as JSON values."""
        lists = ('u_min', 'u_max', 'u_trim', 'Q', 'R', 'Q_f', 'x0_box', 'goal_box')
        names = ('state_names', 'state_units', 'control_names', 'control_units')
        return {
            'name': self.name,
            'dt': self.dt,
            'horizon': self.horizon,
            'substeps': self.substeps,
            'parameters': dict(self.parameters),
            **{key: list(getattr(self, key)) for key in names},
            **{key: getattr(self, key).tolist() for key in lists},
        }
