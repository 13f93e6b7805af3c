"""How many RK4 steps a plant needs within a dt: the choice of `substeps`.

One step of RK4 multiplies a motion exp(lambda t) by R(z) = 1 + z + z^2/2 + z^3/6 + z^4/24, with
z = lambda dt. Where |z| is large that is no likeness of exp(z): a drive with a lag of 5 ms that
is planned at 50 ms has z = -10 and R = 291. Source: Hairer and Wanner, Solving Ordinary
Differential Equations II (1996), section IV.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from trc_core.problem.discretise import rk4
from trc_core.problem.graph import Graph
from trc_core.problem.probes import Probes

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

COUNTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64)
"""Numbers of substeps that are chosen from; a plant that needs more has too long a dt."""
ALONG = 256  # steps of trajectories that are looked at
GROWTH_ERROR = 0.01
"""Error of the factor by which a motion grows or fades in a dt, relative to it or to 1."""
STEP_ERROR = 0.01
"""Error of a state after a dt, relative to its box or, where that is larger, to its own change."""
TYPICAL_ERROR = 0.001
"""The same as the root mean square over the boxes: only few steps may be as wrong as `STEP_ERROR`,
like those over a jump, which no number of steps makes exact."""


class Chosen(int):
    """A number of substeps that was chosen, and is chosen anew when the plant changes."""


class Substeps:
    """The field `System.substeps`: a number that is given, or one that is chosen when it is read.

    `replace` hands a chosen number on, which is chosen anew for what has changed.
    """

    def __get__(self, system: System | None, owner: type[System]) -> int:
        if system is None:
            return None  # type: ignore[return-value]  # the default
        values = vars(system)
        if values['substeps'] is None:
            values['substeps'] = chosen_substeps(system)
        return cast(int, values['substeps'])

    def __set__(self, system: System, value: int | None) -> None:
        vars(system)['substeps'] = None if isinstance(value, Chosen) else value


class Need(NamedTuple):
    """The substeps that a plant needs in a dt."""

    substeps: int | None
    """None where no sensible number is enough."""
    state: str
    """The state that moves fastest."""
    seconds: float
    """In which time that motion grows or fades by a factor e."""
    is_fast: bool
    """Whether that is why one step is not enough."""

    def __str__(self) -> str:
        if not self.is_fast:
            return 'the slopes of the dynamics change much within a dt'
        return f"the fastest motion, of '{self.state}', takes {self.seconds:.2g} s"


def chosen_substeps(system: System) -> Chosen:
    """The fewest RK4 steps within a dt that are accurate enough.

    Raises:
        ValueError: if no sensible number is; the message names the state that moves fastest.
    """
    if system.discrete:
        return Chosen(1)
    need = need_of(system)
    if need.substeps is None:
        mended = 'dynamics in which this motion has ended'
        if system.robot is not None:
            mended = 'the inertia of its rotor with armature=, or less friction='
        raise ValueError(
            f"system '{system.name}': {need}; {COUNTS[-1]} RK4 steps within the dt of "
            f'{system.dt:g} s are not enough for it: write a shorter dt, or {mended}, or substeps'
        )
    return Chosen(need.substeps)


def note(system: System) -> str:
    """A line about the substeps of a system where there is something to say; else empty."""
    substeps = system.substeps
    if system.discrete:
        return ''
    if isinstance(substeps, Chosen):
        if substeps == 1:
            return ''
        return f'{substeps} RK4 steps within a dt of {system.dt:g} s: {need_of(system)}'
    need = need_of(system)
    if need.substeps is None:
        enough = f'not even {COUNTS[-1]} would be enough'
    elif need.substeps > substeps:
        enough = f'{need.substeps} are needed: write substeps={need.substeps}, or leave it out'
    else:
        return ''
    return f'warning: substeps={substeps} within a dt of {system.dt:g} s, but {need}; {enough}'


def note_along(system: System, x: Array, u: Array) -> str:
    """A line where plans x (N, T + 1, n_x), u (N, T, n_u) need more substeps; else empty."""
    if system.discrete:
        return ''
    rows = np.linspace(0, u.shape[0] * u.shape[1] - 1, ALONG).astype(int)
    states, controls = x[:, :-1].reshape(-1, system.n_x)[rows], u.reshape(-1, system.n_u)[rows]
    need = need_at(system, Probes(states, controls, states, np.tile(system.p, (ALONG, 1))))
    if need.substeps is not None and need.substeps <= system.substeps:
        return ''
    return (
        f'warning: substeps={system.substeps} is not accurate along these trajectories: {need}; '
        f'write substeps={need.substeps or 2 * COUNTS[-1]}, or a wider x0_box'
    )


def need_of(system: System) -> Need:
    """What a system needs over its boxes, from fixed probes."""
    boxes = (system.x0_box, system.goal_box, system.x0_centre, system.goal_centre)
    limits = (system.u_min, system.u_max, system.u_trim, system.x_min, system.x_max)
    numbers = b''.join(np.ascontiguousarray(values).tobytes() for values in (*boxes, *limits))
    key = (system.graph.digest, system.dt, system.p.tobytes(), tuple(system.ranges.items()))
    return _need(_Keyed(system, (*key, numbers, system.state_names)))


class _Keyed:
    """A system that is the same as another where all is that its steps depend on."""

    def __init__(self, system: System, key: tuple[object, ...]) -> None:
        self.system, self.key = system, key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.key == other.key


@lru_cache(maxsize=256)
def _need(keyed: _Keyed) -> Need:
    return need_at(keyed.system, Probes.of(keyed.system))


def need_at(system: System, probes: Probes) -> Need:
    """What a system needs at some states, controls and parameters."""
    probes = _within_limits(system, probes)
    rates, state, seconds = _rates(system, probes)
    is_fast = growth_error(rates * system.dt, 1) > GROWTH_ERROR
    for count in COUNTS:
        if growth_error(rates * system.dt, count) > GROWTH_ERROR:
            continue
        errors = step_errors(system, probes.x, probes.u, probes.p, count)
        if errors.max() <= STEP_ERROR and np.sqrt(np.mean(errors**2)) <= TYPICAL_ERROR:
            return Need(count, state, seconds, is_fast)
    return Need(None, state, seconds, is_fast)


def _within_limits(system: System, probes: Probes) -> Probes:
    """The probes, with controls moved to the trim where a dt would lead far beyond the limits.

    A small joint with a strong motor and no armature reaches a thousand times its speed limit in
    a dt; no plan goes there, so that it does not count how many steps it would take.
    """
    assert system.x_min is not None and system.x_max is not None
    N, range_ = len(probes.x), system.x_max - system.x_min
    if not np.isfinite(range_).any():
        return probes
    at_rest = probes._replace(u=np.tile(system.u_trim, (N, 1)))
    with np.errstate(all='ignore'):
        full, least = (_columns(system.graph, p.columns, 'dynamics', N) for p in (probes, at_rest))
        share = range_ / (system.dt * np.abs(full - least))
    share = np.where(np.isfinite(share), share, 1.0).min(axis=1, initial=1.0)
    return probes._replace(u=at_rest.u + share[:, None] * (probes.u - at_rest.u))


def growth_error(z: Array, count: int) -> float:
    """The largest error of the factors exp(z) when RK4 takes `count` steps."""
    h = z / count
    with np.errstate(over='ignore', invalid='ignore'):
        factor = (1.0 + h * (1.0 + h / 2 * (1.0 + h / 3 * (1.0 + h / 4)))) ** count
        exact = np.exp(z)
        error = np.abs(factor - exact) / np.maximum(np.abs(exact), 1.0)
    return float(np.max(error, initial=0.0, where=np.isfinite(exact)))


def step_errors(system: System, x: Array, u: Array, p: Array, count: int) -> Array:
    """The errors (N,) of one dt with `count` RK4 steps, relative to the boxes.

    Estimated from twice as many steps, at states x (N, n_x), controls u (N, n_u) and parameters p
    (N, n_p). Where those leave all bounds the error is 0: no number of steps mends that.
    """
    coarse, fine = (_after(system, x, u, p, n) for n in (count, 2 * count))
    ends = np.asarray(np.isfinite(fine).all(axis=1))
    change = np.where(ends[:, None], np.abs(fine - x), 0.0)
    scale = np.where(system.reach > 0.0, np.maximum(system.reach, change), change.max(0))
    with np.errstate(over='ignore', invalid='ignore'):
        errors = np.abs(coarse - fine) / np.where(scale > 0.0, scale, 1.0)
    return np.where(ends, np.where(np.isfinite(errors), errors, np.inf).max(1), 0.0)


def _after(system: System, x: Array, u: Array, p: Array, count: int) -> Array:
    """The states (N, n_x) after a dt."""
    graph, inputs = system.graph, [*u.T, *p.T]

    def derivative(x: Array, _: Array) -> Array:
        return _columns(graph, [*x.T, *inputs], 'dynamics', len(x))

    with np.errstate(all='ignore'):
        for _ in range(count):
            x = rk4(derivative, x, u, system.dt / count)
    return x


def _rates(system: System, probes: Probes) -> tuple[Array, str, float]:
    """The eigenvalues (N n_x,) of the slopes of the dynamics, and what moves fastest."""
    N, n_x = probes.x.shape
    with np.errstate(all='ignore'):
        A = _columns(system.slopes, probes.columns, 'A', N).reshape(N, n_x, n_x)
    values, vectors = np.linalg.eig(A[np.isfinite(A).all(axis=(1, 2))])
    if not values.size:
        return np.zeros(0), system.state_names[0], np.inf
    row, mode = np.unravel_index(np.abs(values).argmax(), values.shape)
    fastest = float(np.abs(values[row, mode]))
    # States of one motion are told apart by their rates of change in units of their boxes.
    parts = np.abs(vectors[row, :, mode]) / np.where(system.reach > 0.0, system.reach, 1.0)
    state = system.state_names[int(parts.argmax())]
    return values.ravel(), state, 1.0 / fastest if fastest > 0.0 else np.inf


def _columns(graph: Graph, inputs: Sequence[Array], output: str, N: int) -> Array:
    """An output (N, n) of a graph."""
    found = graph.evaluate(inputs)[output]
    return np.stack([np.broadcast_to(e, N) for e in found], axis=-1)
