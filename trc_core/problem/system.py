"""The `System`: one plant, its physics, its limits and its task, stated once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trc_core.problem import motion
from trc_core.problem.accuracy import Substeps
from trc_core.problem.checks import checked
from trc_core.problem.discretise import (
    NEXT_STATE,
    RATE,
    rate_graph,
    slopes_graph,
    with_dt,
)
from trc_core.problem.graph import Graph
from trc_core.problem.parameters import parameter_rows, require_parameters
from trc_core.problem.places import Joint, Norm, Obstacle
from trc_core.problem.sources import Sources
from trc_core.problem.task import Task, require_task, task_contract, task_record
from trc_core.problem.trace import Signature, dynamics_graph, stated_slopes, timed_graph
from trc_core.problem.trim import Trim, trim_of, trims_of

if TYPE_CHECKING:
    from trc_core.problem.robot import RobotModel

Array = NDArray[np.float64]
MAPPINGS = ('parameters', 'ranges', 'laws')
STOP = 'stop'  # the law that brings a plant to a stop
FAR = 1e4  # [m] where an obstacle lies that is not there
CONSTRAINT_TOLERANCE = 0.01  # in the units of the constraints


@dataclass(frozen=True, eq=False)
class System(Sources):
    """A plant with sampled controls and a task.

    The cost of a plan has no factor dt:

        J = sum over t < T of (x_t - r_t)' Q (x_t - r_t) + (u_t - u_trim)' R (u_t - u_trim)
                              + |residuals|^2
            + (x_T - r_T)' Q_f (x_T - r_T) + |terminal_residuals|^2

    The reference r is a constant goal for most problems. Differences of `angles` are wrapped to
    [-pi, pi). `constraints` and state limits hold for t = 1..T; constraints that depend on the
    control hold for t = 0..T - 1.

    `Q` and `R` may be given as diagonals; they are stored as matrices. Functions that state the
    task take what they need of `x`, `u`, `goal` (the reference state), `time` (seconds since the
    plan began) and the parameters, all by name.

    Raises:
        ValueError: if a number is not finite, a vector has the wrong length, a bound is inverted,
            a weight is not positive (R) or not positive semi-definite (Q), a function of the task
            fails or returns nothing, a constraint is violated everywhere in the box, or a name
            occurs twice or cannot be used in code; the message names the field.
    """

    name: str
    """Letters, digits and underscores; it becomes part of file names."""
    dynamics: Callable[..., Sequence[Any]]
    """`dynamics(x, u, **parameters)`: the time derivative of x (where `discrete`, the state a dt
    later), written with NumPy's functions, SymPy's or CasADi's. A discrete plant whose function
    takes `dt` [s] as well steps by any time."""
    state_names: tuple[str, ...]
    """Names of the n_x states, in the order of x."""
    state_units: tuple[str, ...]
    """Their units; '1' for none."""
    control_names: tuple[str, ...]
    """Names of the n_u controls, in the order of u."""
    control_units: tuple[str, ...]
    """Their units; '1' for none."""
    joints: tuple[Joint, ...]
    """The joints, by whose names ROS messages carry states and controls; may be empty."""
    dt: float
    """Sampling period of the plan [s]; the control is held over it."""
    horizon: int
    """Number of control steps T."""
    u_min: Array
    """Lower bounds of the controls (n_u,)."""
    u_max: Array
    """Upper bounds of the controls (n_u,)."""
    Q: Array
    """Weight of state errors, a diagonal (n_x,) or a matrix (n_x, n_x)."""
    R: Array
    """Weight of controls, a diagonal (n_u,) or a matrix (n_u, n_u)."""
    x0_box: Array
    """Half widths (n_x,) of the box from which initial states are drawn, or its (low, high)."""
    goal_box: Array
    """Half widths (n_x,) of the box from which goals are drawn, or its (low, high)."""
    u_trim: Array = field(default=None)  # type: ignore[arg-type]
    """Control (n_u,) that holds the plant at the goal; zeros by default. Where it depends on the
    goal, it is given as a function of `goal` and the parameters, or as 'equilibrium', which
    solves f = 0 and is an error if the centre of the goal box cannot be held. The attribute is
    the control for the centre of the goal box."""
    Q_f: Array = field(default=None)  # type: ignore[arg-type]
    """Terminal weight; 20 Q by default."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Physical parameters and other numbers of the functions, by name; every plan may change
    them."""
    substeps: Substeps = Substeps()  # noqa: RUF009 - a descriptor, which keeps nothing
    """RK4 steps within a dt; by default the fewest that are accurate enough over the boxes, found
    when they are first needed (`problem.accuracy`)."""
    discrete: bool = False
    """Whether `dynamics` return the state a dt later: the plant is in discrete time."""
    constraints: Callable[..., Any] | None = None
    """Returns a mapping of names to expressions that must not exceed 0, in units of a distance
    (r - |x - c|, not r^2 - |x - c|^2)."""
    residuals: Callable[..., Any] | None = None
    """Returns expressions whose squares are added to J at every t < T."""
    terminal_residuals: Callable[..., Any] | None = None
    """Returns expressions whose squares are added to J at T; they cannot depend on u."""
    x_min: Array | None = None
    """Lower limits of the states (n_x,); -inf where there is none."""
    x_max: Array | None = None
    """Upper limits of the states (n_x,); inf where there is none."""
    angles: tuple[str, ...] = ()
    """Names of the states that are angles [rad], which are the same after a full turn."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Parameters that change from problem to problem, with the interval (low, high) of each."""
    goal_tolerance: Array = field(default=None)  # type: ignore[arg-type]
    """Largest error of each state (n_x,) at the end of a plan that counts as a success. By default
    it is 5 % of the sum of the half widths of both boxes, and inf for states without any width."""
    laws: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Control laws by name: functions that return n_u controls, whose trajectories are candidates
    for plans. A law named 'stop' brings the plant to rest."""
    violation_weight: float | None = None
    """Cost of a constraint's violation by one unit, for comparing plans by the merit
    M = J + violation_weight sum max(0, h); larger than the multipliers of good plans. By
    default, a bound on those from the weights."""
    constraint_tolerance: float = CONSTRAINT_TOLERANCE
    """Violation that is ignored, in the units of the constraints. Beyond it planning takes more
    effort; beyond five times of it the plan with the least violation is chosen at any cost."""
    obstacles: tuple[Obstacle, ...] = ()
    """Obstacles among the parameters, so that a node can set them from messages."""
    final_time: tuple[float, float] | None = None
    """Limits (low, high) [s] of the duration of a plan, which is then a decision: its T steps are
    equally long, and `dt` is the period of the control loop. Costs at t < T then count by time,
    each weighted by its step's length over dt."""
    time_weight: float = 0.0
    """Cost of a plan per second of its duration, with `final_time`."""
    terminal_cost: Array | None = None
    """Linear cost (n_x,) of the last state, c' x_T, with `final_time`."""
    terminal: tuple[str, ...] = ()
    """Names of the states that equal the goal exactly at the end of a plan, with `final_time`."""
    norms: tuple[Norm, ...] = ()
    """Groups of controls whose length has limits, with `final_time`."""
    x0_centre: Array = field(default=None)  # type: ignore[arg-type]
    """Centre of x0_box (n_x,), set by giving the box as (low, high)."""
    goal_centre: Array = field(default=None)  # type: ignore[arg-type]
    """Centre of goal_box (n_x,), set by giving the box as (low, high)."""
    trim: Trim | None = None
    """The dependence of u_trim on the goal, or None. It follows from u_trim."""

    def __post_init__(self) -> None:
        try:
            for name, value in checked(self).items():
                frozen = MappingProxyType(value) if isinstance(value, dict) else value
                object.__setattr__(self, name, frozen)
            object.__setattr__(self, 'trim', trim_of(self))
            if self.trim is not None:
                object.__setattr__(self, 'u_trim', self.trim.central)
            require_task(self)
        except ValueError as error:
            named = f"'{self.name}'" in str(error)
            raise ValueError(str(error) if named else f"system '{self.name}': {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only parameters cannot be pickled: make them again.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in MAPPINGS:
            values[name] = dict(values[name])
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
    def signature(self) -> Signature:
        """The sizes and names of the arguments of its functions."""
        return Signature(self.n_x, self.n_u, tuple(self.parameters))

    @property
    def graph(self) -> Graph:
        """The dynamics as an expression graph.

        Raises:
            ValueError: if the dynamics fail; the message says where.
        """
        if self.timed is not None:
            return with_dt(self.timed, self.dt)
        return dynamics_graph(self.name, self.dynamics, self.signature, self._output)

    @property
    def timed(self) -> Graph | None:
        """The step of a discrete plant over any time, with the further input `dt`; else None."""
        if not self.discrete:
            return None
        return timed_graph(self.name, self.dynamics, self.signature)

    @property
    def slopes(self) -> Graph:
        """The dynamics with their slopes: further outputs `A` and `B`, row by row.

        They are those that the dynamics state themselves, or exact ones of their graph.

        Raises:
            ValueError: if the dynamics fail; the message says where.
        """
        return self.stated_slopes or slopes_graph(self.graph)

    @property
    def stated_slopes(self) -> Graph | None:
        """The graph of `slopes` where the dynamics state their own; else None."""
        return stated_slopes(self.name, self.dynamics, self.signature, self._output)

    @property
    def _output(self) -> str:
        return NEXT_STATE if self.discrete else RATE

    @property
    def rates(self) -> Graph:
        """The time derivative of x as a graph; in discrete time its mean over a dt."""
        return rate_graph(self.graph, self.dt) if self.discrete else self.graph

    @property
    def rate_slopes(self) -> Graph:
        """The rates with their slopes, as `slopes`."""
        return slopes_graph(self.rates) if self.discrete else self.slopes

    @property
    def robot(self) -> RobotModel | None:
        """The robot that this system was made of; None for others, and when read from a file."""
        return getattr(self.dynamics, 'model', None)

    @cached_property
    def digest(self) -> str:
        """A hash of all its functions; of the dynamics alone where there are no others."""
        functions, slopes = task_record(self), self.stated_slopes
        if not functions and slopes is None:
            return self.graph.digest
        own = [] if slopes is None else [slopes.digest]
        contents = json.dumps([self.graph.digest, functions, *own])
        return hashlib.sha256(contents.encode()).hexdigest()

    def fingerprint(self, *settings: Any) -> str:
        """A hash of all that a network or a plan depends on, and of more JSON values."""
        contents = json.dumps([self.contract(), self.digest, *settings], sort_keys=True)
        return hashlib.sha256(contents.encode()).hexdigest()[:16]

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of every parameter in p."""
        return {name: place for place, name in enumerate(self.parameters)}

    @cached_property
    def task(self) -> Task:
        """The functions that state the task, as expression graphs."""
        return Task.of(self)

    @cached_property
    def reach(self) -> Array:
        """The largest error |x - goal| of each state (n_x,) within the boxes."""
        return self.x0_box + self.goal_box + np.abs(self.x0_centre - self.goal_centre)

    @cached_property
    def wrapped(self) -> NDArray[np.int64]:
        """The places of the angles among the states (n_a,)."""
        places = [self.state_names.index(name) for name in self.angles]
        return np.array(places, dtype=np.int64)

    def trims(self, reference: Array, p: Array | None = None) -> Array:
        """The controls (..., n_u) that hold reference states (..., n_x), within the bounds.

        Args:
            reference: states to hold.
            p: parameters (n_p,), or a row for each entry of the first axes of the reference; the
                system's own by default.
        """
        if self.trim is None:
            return np.broadcast_to(self.u_trim, (*reference.shape[:-1], self.n_u))
        return trims_of(self, self.trim.law, reference, self.p if p is None else p)

    def derivative(self, x: Any, u: Any) -> Any:
        """The time derivative (..., n_x) at x (..., n_x) and u (..., n_u), as `rates`."""
        return motion.derivative(self, x, u)

    def step(self, x: ArrayLike, u: ArrayLike, dt: float | None = None) -> Array:
        """The states (..., n_x) after holding u (..., n_u) for `dt` seconds.

        `dt` is that of the plan by default. NumPy interprets the dynamics here;
        `compile.binding.plant_of` returns them as machine code.

        Raises:
            ValueError: if the system is `discrete`, and `dt` another one than its own.
        """
        return motion.step(self, x, u, dt)

    def step_jacobian(
        self, x: ArrayLike, u: ArrayLike, dt: float | None = None
    ) -> tuple[Array, Array]:
        """Exact A (n_x, n_x) and B (n_x, n_u) of `step` at (x, u)."""
        return motion.step_jacobian(self, x, u, dt)

    def sample(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Draws n initial states and goals, each (n, n_x), uniformly from the boxes."""
        x0 = rng.uniform(-self.x0_box, self.x0_box, (n, self.n_x))
        goal = rng.uniform(-self.goal_box, self.goal_box, (n, self.n_x))
        return x0 + self.x0_centre, goal + self.goal_centre

    def sample_parameters(self, rng: np.random.Generator, n: int) -> Array:
        """Draws n rows of parameters (n, n_p): uniform in their ranges, else the system's own."""
        p = np.tile(self.p, (n, 1))
        for place, name in enumerate(self.parameters):
            if name in self.ranges:
                p[:, place] = rng.uniform(*self.ranges[name], n)
        return p

    def parameter_rows(
        self,
        changed: Mapping[str, ArrayLike],
        rows: int | None = None,
        known: Array | None = None,
    ) -> Array:
        """The parameters (n_p,), or (rows, n_p), with some of them changed by name.

        Those that do not change are the system's own, or those `known` (n_p,).

        Raises:
            ValueError: if a parameter does not exist, and the message lists those that do, or if
                a number is not finite or there is another number of rows.
        """
        return parameter_rows(self, changed, rows, known)

    def with_parameters(self, **parameters: float) -> System:
        """The same plant with other physical parameters.

        Raises:
            ValueError: if a parameter does not exist, and the message lists those that do, or if
                it is not finite.
        """
        require_parameters(self, parameters)
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
            'substeps': int(self.substeps),
            'parameters': dict(self.parameters),
            **{key: list(getattr(self, key)) for key in names},
            **{key: getattr(self, key).tolist() for key in lists},
            **task_contract(self),
        }
