"""The `System`: one plant, its physics, its limits and its task, stated once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trc_core.problem.checks import checked

Array = NDArray[np.float64]
SUCCESS_TOLERANCE = 0.1  # a plan succeeds when sum |x_T - goal| is at most this


class Joint(NamedTuple):
    """Where a joint's coordinates stand in x and u; None where it has no such coordinate."""

    name: str
    position: int | None = None
    velocity: int | None = None
    effort: int | None = None


class SystemArrays(NamedTuple):
    """The numbers of a `System` in the form that compiled kernels take."""

    Q: Array  # (n_x, n_x)
    R: Array  # (n_u, n_u)
    Q_f: Array  # (n_x, n_x)
    u_min: Array  # (n_u,)
    u_max: Array  # (n_u,)
    u_trim: Array  # (n_u,)
    p: Array  # (n_p,) the parameters, in the order of their declaration
    dt: float


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
    """Symbolic `dynamics(x, u, **parameters)`, the time derivative of x, in SymPy terms."""
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
    u_trim: Array = field(default=None)
    """Control that holds the plant at the goal; zeros by default."""
    Q_f: Array = field(default=None)
    """Terminal weight; 20 Q by default."""
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            values = checked(self)
        except ValueError as error:
            raise ValueError(f"system '{self.name}': {error}") from None
        values['parameters'] = MappingProxyType(values['parameters'])
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # The generated module and the read-only parameters cannot be pickled: make them again.
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
    def arrays(self) -> SystemArrays:
        """The numbers, as compiled kernels take them."""
        p = np.array(list(self.parameters.values()), dtype=np.float64)
        return SystemArrays(
            self.Q, self.R, self.Q_f, self.u_min, self.u_max, self.u_trim, p, float(self.dt)
        )

    @cached_property
    def functions(self) -> ModuleType:
        """Generated scalar code: `dynamics`, `step` and `step_jacobian`."""
        from trc_core.compile.kernels import generated_module

        return generated_module(self)

    def step(self, x: ArrayLike, u: ArrayLike, dt: float | None = None) -> Array:
        """The state (n_x,) after holding u (n_u,) for `dt` seconds (default: the plan's dt)."""
        x_next = np.empty(self.n_x)
        x, u = np.asarray(x, dtype=np.float64), np.asarray(u, dtype=np.float64)
        self.functions.step(x, u, self.arrays.p, self.dt if dt is None else dt, x_next)
        return x_next

    def step_jacobian(
        self, x: ArrayLike, u: ArrayLike, dt: float | None = None
    ) -> tuple[Array, Array]:
        """Exact A (n_x, n_x) and B (n_x, n_u) of `step` at (x, u)."""
        A, B = np.empty((self.n_x, self.n_x)), np.empty((self.n_x, self.n_u))
        x, u = np.asarray(x, dtype=np.float64), np.asarray(u, dtype=np.float64)
        self.functions.step_jacobian(x, u, self.arrays.p, self.dt if dt is None else dt, A, B)
        return A, B

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
            'parameters': dict(self.parameters),
            **{key: list(getattr(self, key)) for key in names},
            **{key: getattr(self, key).tolist() for key in lists},
        }
