"""The coordinates of a plan, and the units in which a network sees it, made from a `System`.

A plan is v in u_t = clip(u_trim + v_t - w K_t e_t), e_t = x_t - goal (see `rollout.py`). The
network reads and writes dimensionless numbers: v in the metric L_t / s, states in W / s, the
initial error in C / s and D, with s^2 = |S e_0|^2 + floor. `docs/model.md` has one step of a plan
in numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.numerics.canonical import Scene, no_scene, ranges_read, scene_of
from trc_core.numerics.riccati import cost_to_go, finite_horizon_gains
from trc_core.numerics.rollout import Law
from trc_core.problem.symmetry import Symmetry, planar_symmetry
from trc_core.problem.system import Array, System
from trc_core.problem.weighting import scaled, value_of

SCALE_FLOOR = 1e-4  # smallest s^2, relative to its mean over the training box
GATE = 4.0  # the gate is half open on this multiple of the ellipsoid where the LQR is unclipped
TINY = 1e-12
REGULAR = 1e-9  # of the mean cost, for each state in units of its box: where errors cost nothing
ODD_PROBES, ODD_TOLERANCE = 8, 1e-12
NO_GOALS = np.zeros((0, 3))


class Representation(NamedTuple):
    """The numbers of a plan representation, as kernels take them."""

    K: Array  # (T, n_u, n_x) feedback gains of a plan
    G: Array  # (n_x, n_x) gate of the feedback; zeros where it always acts
    K_start: Array  # (S, T, n_u, n_x) gains of the clipped LQR plans to start from
    L: Array  # (T, n_u, n_u) lower-triangular metric of v
    L_inverse: Array  # (T, n_u, n_u)
    W: Array  # (n_x, n_x) metric of state errors
    C: Array  # (n_x, n_x) metric of the initial error, read in units of s
    D: Array  # (n_x, n_x) metric of the initial error, read on an asinh scale
    S: Array  # (n_x, n_x) metric of the initial error that sets s
    floor: float
    inputs: Array  # (n_p,) plant parameters that the network takes as inputs, from -1 to 1
    angles: NDArray[np.int64]  # (n_a,) states whose initial error is also read as sine and cosine
    mirror: int  # state by whose sign problems are mirrored for the network; -1: none
    goals: Array  # (n_g, 3) goals that are read as sine and cosine: their state, scale and centre
    scene: Scene  # of the canonical frame

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> Representation:
        """The numbers that a checkpoint holds as `representation.<name>`."""
        given: dict[str, Any] = {
            name: np.array(tensors[f'representation.{name}'], order='C')
            for name in cls._fields
            if name not in ('L_inverse', 'goals', 'scene')
        }
        given.update(floor=float(given['floor']), mirror=int(given['mirror']))
        given['goals'] = np.array(tensors.get('representation.goals', NO_GOALS), order='C')
        L_inverse = np.ascontiguousarray(np.linalg.inv(given['L']))
        _, n_u, n_x = given['K'].shape
        scene = Scene.from_tensors(tensors, n_x, n_u)
        return cls(**given, L_inverse=L_inverse, scene=scene)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The inverse of `from_tensors`."""
        given = self._asdict()
        del given['L_inverse'], given['scene']
        if self.scene.is_used:
            given.update(self.scene._asdict())
        if not len(self.goals):
            del given['goals']
        return {f'representation.{name}': np.asarray(value) for name, value in given.items()}

    @property
    def law(self) -> Law:
        """The feedback of a plan."""
        return Law(self.K, self.G)


def open_loop(system: System) -> Representation:
    """Plans are the controls; states in units of the boxes, controls in half of their range."""
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    width = system.x0_box + system.goal_box
    metric = np.diag(1 / np.where(width > 0, width, 1.0))
    return _numbers(
        K=np.zeros((T, n_u, n_x)),
        K_start=_lqr_gains(system)[None],
        L=np.tile(np.diag(2 / (system.u_max - system.u_min)), (T, 1, 1)),
        W=metric,
        C=metric,
        D=metric,
        S=metric,
        floor=1.0,
    )


def stabilised(system: System, effort: float = 1.0) -> Representation:
    """Plans around the finite-horizon LQR, in its own metric: v = 0 is the clipped LQR plan.

    L_t L_t' = R + B' P_{t+1} B, s^2 = e_0' P_0 e_0: gradients come out preconditioned. With an
    effort of more than 1 it is the gentler LQR of R times that, and P what its gains cost.
    """
    K, P, H = finite_horizon_gains(system)
    if effort != 1.0:
        K = _lqr_gains(replace(system, R=system.R * effort))
        P, H = cost_to_go(system, K)
    values, vectors = np.linalg.eigh(system.Q)
    middle = system.x0_centre - system.goal_centre
    spread = np.diag((system.x0_box**2 + system.goal_box**2) / 3)  # of x0 - goal, both uniform
    mean = float(np.trace(P[0] @ spread) + middle @ P[0] @ middle)
    mean = mean if mean > 0.0 else 1.0  # every plan begins at its goal, or no error costs anything
    C = _root(P[0], mean, system.reach)
    return _numbers(
        K=K,
        K_start=K[None],
        L=np.asarray(np.linalg.cholesky(H), dtype=np.float64),
        W=vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T,
        C=C,
        D=C / np.sqrt(mean),
        S=C,
        floor=SCALE_FLOOR * mean,
    )


def gated(system: System) -> Representation:
    """Open-loop plans that an LQR catches near the goal, for swing-ups.

    Everything is in units of the boxes and of half the control range; angles are also read as
    sine and cosine. Problems of an odd plant are mirrored to one half of the states.
    """
    law = catching_law(system, system.goal_centre)
    values, vectors = np.linalg.eigh(law.G)
    box = np.diag(1 / np.where(system.x0_box > 0, system.x0_box, 1.0))
    angles = system.wrapped if system.angles else np.flatnonzero(system.x0_box >= np.pi)
    return _numbers(
        K=law.K,
        G=law.G,
        K_start=law.K[None],
        L=np.tile(np.diag(2 / (system.u_max - system.u_min)), (system.horizon, 1, 1)),
        W=box,
        C=box,
        D=np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T,
        S=np.zeros_like(box),
        floor=1.0,
        angles=angles,
        mirror=int(angles[0]) if len(angles) and is_odd(system) else -1,
    )


def canonical(system: System) -> Representation:
    """Open-loop plans, v = u - u_trim in half ranges, of problems read in their canonical frame.

    No LQR is needed anywhere. `Coordinates` adds the scene.
    """
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    metric = np.diag(1 / np.where(system.reach > 0, system.reach, 1.0))
    return _numbers(
        K=np.zeros((T, n_u, n_x)),
        K_start=np.zeros((0, T, n_u, n_x)),
        L=np.tile(np.diag(2 / (system.u_max - system.u_min)), (T, 1, 1)),
        **dict.fromkeys(('W', 'C', 'D', 'S'), metric),
        floor=1.0,
    )


REPRESENTATIONS: dict[str, Callable[[System], Representation]] = {
    'open_loop': open_loop,
    'stabilised': stabilised,
    'gated': gated,
    'canonical': canonical,
}
DESCENT = 'descent'  # plans of a free duration, whose coordinates are learned (`descent.py`)
WITHOUT_LQR = ('canonical', 'open_loop', DESCENT)


@dataclass(frozen=True)
class Coordinates:
    """The choice of a representation and of its inputs; stored in every checkpoint.

    Raises:
        ValueError: if a choice is unknown; the message lists the known ones.
    """

    kind: str = 'stabilised'
    ladder: tuple[float, ...] = (1.0,)
    """Factors of R of the LQR plans that refinement may start from."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """What the network takes as inputs, and the range it is trained on: plant parameters, and
    diagonal entries of weights, like 'Q[0]'."""
    effort: float = 1.0
    """Factor of R of the LQR whose gains a stabilised plan has. Gains of R itself may be too fast
    for a plant that is another one away from the middle of the goal box."""
    goals: tuple[str, ...] = ()
    """States whose goal the network reads beside the error: where it moves the plant differs."""
    penalties: tuple[float, ...] = ()
    """Of the constraints, in the cost that refinement lowers (`problem.softened`); none where it
    lowers the cost of the system itself."""
    symmetry: Symmetry | None = None
    """Of the problems that a canonical frame is for; found by `completed`."""

    def __post_init__(self) -> None:
        if self.kind not in (known := [*REPRESENTATIONS, DESCENT]):
            raise ValueError(f"unknown representation '{self.kind}'; choose from {sorted(known)}")
        if self.ladder[:1] != (1.0,) and not (self.kind in WITHOUT_LQR and not self.ladder):
            raise ValueError(f'ladder must begin with 1, got {list(self.ladder)}')
        if self.effort != 1.0 and not (self.kind == 'stabilised' and self.effort > 0.0):
            raise ValueError(
                f"effort is {self.effort} for the representation '{self.kind}'; it is a positive "
                "number for 'stabilised' plans, and 1 for others"
            )

    def completed(self, system: System) -> Coordinates:
        """These coordinates, with what a canonical frame needs to know of a system's problems.

        They are its symmetries, and by default all its `ranges` that are no obstacle's.
        """
        if self.kind != 'canonical' or self.symmetry is not None:
            return self
        found = planar_symmetry(system)
        return replace(self, symmetry=found, ranges=self.ranges or ranges_read(system, found))

    def numbers(self, system: System) -> Representation:
        """The numbers for one plant."""
        if self.kind == 'canonical':
            return self.completed(system)._canonical(system)
        starts = [_lqr_gains(replace(system, R=system.R * factor)) for factor in self.ladder]
        inputs = [
            scaled(value_of(system, name), name, limits) for name, limits in self.ranges.items()
        ]
        if self.kind == 'stabilised':
            numbers = stabilised(system, self.effort)
        else:
            numbers = REPRESENTATIONS[self.kind](system)
        return numbers._replace(
            K_start=np.stack(starts),
            inputs=np.array(inputs, dtype=np.float64),
            goals=_goal_features(system, self.goals),
        )

    def _canonical(self, system: System) -> Representation:
        """The numbers of a canonical frame, for one plant; parameters are read when it plans."""
        assert self.symmetry is not None
        numbers = canonical(system)
        scene = self.scene(system)
        starts = [_lqr_gains(replace(system, R=system.R * factor)) for factor in self.ladder]
        K_start = np.array(starts).reshape(-1, *numbers.K.shape)
        return numbers._replace(K_start=K_start, scene=scene, angles=system.wrapped)

    def scene(self, system: System) -> Scene:
        """How problems of a plant are read in a canonical frame."""
        own = self.completed(system)
        assert own.symmetry is not None
        return scene_of(system, own.symmetry, own.ranges)

    def record(self) -> dict[str, Any]:
        """The fields as JSON values."""
        ranges = {name: list(limits) for name, limits in self.ranges.items()}
        found: dict[str, Any] = {
            'kind': self.kind,
            'ladder': list(self.ladder),
            'ranges': ranges,
        }
        for name in ('goals', 'penalties'):
            if getattr(self, name):
                found[name] = list(getattr(self, name))
        if self.effort != 1.0:
            found['effort'] = self.effort
        if self.symmetry is not None:
            found['symmetry'] = [*self.symmetry[:3], list(self.symmetry.signs)]
        return found

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Coordinates:
        """The inverse of `record`."""
        ranges = {
            name: (float(low), float(high)) for name, (low, high) in record['ranges'].items()
        }
        goals, penalties = (tuple(record.get(name, ())) for name in ('goals', 'penalties'))
        effort, symmetry = float(record.get('effort', 1.0)), None
        if 'symmetry' in record:
            x, y, heading, signs = record['symmetry']
            symmetry = Symmetry(int(x), int(y), int(heading), tuple(map(int, signs)))
        ladder = tuple(record['ladder'])
        return cls(record['kind'], ladder, ranges, effort, goals, penalties, symmetry)


def catching_law(system: System, goal: Array) -> Law:
    """The LQR about a goal, gated to where it can catch the plant.

    The gate e' G e is 1, half open, on `GATE` times the largest level set of the cost-to-go in
    which no control saturates: the largest |K e| over e' P e <= 1 is sqrt(K P^-1 K').
    """
    K, P, _ = finite_horizon_gains(system, goal)
    trim = system.trims(goal)
    reach = np.minimum(system.u_max - trim, trim - system.u_min)
    gain = np.einsum('ij,jk,ik->i', K[0], np.linalg.pinv(P[0]), K[0])
    level = GATE * float(max(np.min(reach**2 / np.maximum(gain, TINY)), TINY))
    return Law(K, P[0] / level)


@lru_cache(maxsize=16)
def is_odd(system: System) -> bool:
    """Whether -x, -u is a trajectory of the plant, inside the bounds, whenever x, u is one."""
    if np.any(system.u_trim != 0.0) or np.any(system.u_min != -system.u_max):
        return False
    rng = np.random.default_rng(0)
    for _ in range(ODD_PROBES):
        x = rng.normal(size=system.n_x) * np.maximum(system.x0_box, 1.0)
        u = rng.uniform(system.u_min, system.u_max)
        forth, back = system.step(x, u), system.step(-x, -u)
        if np.abs(forth + back).max() > ODD_TOLERANCE * np.abs(forth).max():
            return False
    return True


def _root(P: Array, mean: float, reach: Array) -> Array:
    """C with C'C = P; where P gives some errors no cost, with a little of it for every state."""
    try:
        return np.asarray(np.linalg.cholesky(P).T)
    except np.linalg.LinAlgError:
        width = np.where(reach > 0.0, reach, 1.0)
        return np.asarray(np.linalg.cholesky(P + np.diag(REGULAR * mean / width**2)).T)


def _goal_features(system: System, names: tuple[str, ...]) -> Array:
    """Rows (n_g, 3) of state, scale and centre: the network reads scale (goal - centre).

    Angles are read as they are; other goals so that their box is a half turn.
    """
    rows = []
    for i in map(system.state_names.index, names):
        is_angle = system.state_units[i] == 'rad' or not system.goal_box[i] > 0.0
        scale = 1.0 if is_angle else 0.5 * np.pi / system.goal_box[i]
        rows.append((i, scale, 0.0 if is_angle else system.goal_centre[i]))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _lqr_gains(system: System) -> Array:
    return finite_horizon_gains(system)[0]


def _numbers(**given: Any) -> Representation:
    """A `Representation`; what is left out is no gate, no inputs, angles, goals, no mirror."""
    n_x = len(given['W'])
    left_out = {
        'G': np.zeros((n_x, n_x)),
        'inputs': np.zeros(0),
        'angles': np.zeros(0, dtype=np.int64),
        'mirror': -1,
        'goals': NO_GOALS,
        'scene': no_scene(n_x, given['K'].shape[1]),
    }
    L_inverse = np.linalg.inv(given['L'])
    numbers: dict[str, Any] = {**left_out, **given, 'L_inverse': L_inverse}
    for name, value in numbers.items():
        if isinstance(value, np.ndarray):
            numbers[name] = np.ascontiguousarray(value)
    return Representation(**numbers)
