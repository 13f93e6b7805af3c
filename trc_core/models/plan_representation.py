"""The plan representation in PyTorch: buffers saved with the weights, and dimensionless units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trc_core.models.canonical_frame import Frame, SceneTensors
from trc_core.network_config import TRCConfig
from trc_core.numerics.canonical import Scene, no_scene
from trc_core.numerics.constants import MEMBER
from trc_core.numerics.representation import NO_GOALS, Coordinates, Representation
from trc_core.problem.system import Array, System

MATRICES = ('K', 'G', 'K_start', 'L', 'W', 'C', 'D', 'S', 'floor', 'inputs', 'goals')
LIMITS = ('u_min', 'u_max', 'u_trim')
INDICES = ('angles', 'mirror')
SCENE = Scene._fields


class Numbers(NamedTuple):
    """A `Representation` as tensors; those that depend on plant parameters may have an axis B."""

    L: Tensor
    L_inverse: Tensor
    W: Tensor
    C: Tensor
    D: Tensor
    S: Tensor
    floor: Tensor
    inputs: Tensor
    goals: Tensor
    u_min: Tensor
    u_max: Tensor
    angles: tuple[int, ...]
    mirror: int
    scene: SceneTensors | None = None
    """Of the canonical frame, where problems are read in it."""

    def units(self, error: Tensor, goal: Tensor | None = None) -> Units:
        """The units of problems with the initial errors x_0 - goal (B, n_x).

        Goals (B, n_x) are needed where problems are read in a canonical frame.
        """
        error = error.double()
        if self.scene is not None:
            assert goal is not None
            frame = Frame.of(self.scene, error + goal.double(), goal)
            return Units(self, self.floor.sqrt().expand(len(error)), None, frame)
        size = torch.einsum('...ij,...j->...i', self.S, error)
        s = size.square().sum(-1).add(self.floor).sqrt()
        if self.mirror < 0:
            return Units(self, s, None)
        return Units(self, s, torch.where(error[:, self.mirror] < 0, -1.0, 1.0)[:, None, None])


class Units(NamedTuple):
    """Conversion of physical numbers to dimensionless ones and back, for a batch of problems."""

    numbers: Numbers
    s: Tensor
    """(B,) size of the initial error."""
    side: Tensor | None
    """(B, 1, 1), -1 where the network sees the problem mirrored; a frame has sides of its own."""
    frame: Frame | None = None
    """The canonical frames, where problems are read in them."""

    def problem(
        self,
        error: Tensor,
        time_remaining: Tensor,
        goal: Tensor | None = None,
        parameters: Tensor | None = None,
    ) -> Tensor:
        """What the state encoder reads (B, problem_dim) for initial errors (B, n_x).

        Goals (B, n_x), and parameters (B, n_p), are needed where the network reads some of them.
        """
        numbers = self.numbers
        if self.frame is not None:
            return self.frame.problem(numbers.angles, time_remaining, parameters)
        error = self._mirrored(error.double()[:, None])[:, 0]
        direction = torch.einsum('...ij,...j->...i', numbers.C, error) / self.s[:, None]
        size = torch.asinh(torch.einsum('...ij,...j->...i', numbers.D, error))
        angles = error[:, list(numbers.angles)]
        inputs = numbers.inputs.expand(len(error), -1)
        parts = [direction, size, angles.sin(), angles.cos(), inputs]
        if len(numbers.goals):
            assert goal is not None
            place, scale, centre = numbers.goals.unbind(1)
            angle = scale * (goal.double()[:, place.long()] - centre)
            parts += [angle.sin(), angle.cos()]
        return torch.cat([*parts, time_remaining.double()], dim=-1)

    def plan(self, v: Tensor) -> Tensor:
        """Asinh of L'v / s (B, T, n_u)."""
        return torch.asinh(self.metric(v))

    def metric(self, v: Tensor) -> Tensor:
        """L'v / s (B, T, n_u), the inverse of `step`."""
        metric = torch.einsum('...tji,...tj->...ti', self.numbers.L, v.double())
        return self.mirrored(metric / self.s[:, None, None])

    def controls(self, controls: Tensor) -> Tensor:
        """Controls (B, T, n_u) relative to their bounds, from -1 to 1."""
        lower, upper = self.numbers.u_min, self.numbers.u_max
        return self.mirrored((controls.double() - (upper + lower) / 2) / ((upper - lower) / 2))

    def states(self, error: Tensor) -> Tensor:
        """Asinh of W e / s for errors (B, N, n_x)."""
        if self.frame is not None:
            error = self.frame.seen(error.double())
            return torch.asinh(error @ self.numbers.W.mT / self.s[:, None, None])
        return self._mirrored(
            torch.asinh(error.double() @ self.numbers.W.mT / self.s[:, None, None])
        )

    def gradient(self, gradient: Tensor) -> Tensor:
        """L^-1 dJ/dv / s (B, T, n_u): the Newton step about the goal is minus half of it."""
        slope = torch.einsum('...tij,...tj->...ti', self.numbers.L_inverse, gradient.double())
        return self.mirrored(slope / self.s[:, None, None])

    def step(self, output: Tensor) -> Tensor:
        """The change of v (B, T, n_u) for a dimensionless output o: s L^-T o."""
        o = self.mirrored(output.double()) * self.s[:, None, None]
        return torch.einsum('...tji,...tj->...ti', self.numbers.L_inverse, o)

    def members(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of obstacles by parameters (B, n_p), as `Frame.members`."""
        assert self.frame is not None
        return self.frame.members(parameters)

    def rows(self, rows: Tensor) -> Units:
        """The units of some of the problems, by index (N,)."""
        shared = {'L': 3, 'L_inverse': 3, 'W': 2, 'C': 2, 'D': 2, 'S': 2, 'floor': 0, 'inputs': 1}
        parts = {
            name: value[rows]
            for name, axes in shared.items()
            if (value := getattr(self.numbers, name)).dim() > axes
        }
        side = None if self.side is None else self.side[rows]
        frame = None if self.frame is None else self.frame.rows(rows)
        return Units(self.numbers._replace(**parts), self.s[rows], side, frame)

    def mirrored(self, value: Tensor) -> Tensor:
        """Numbers of controls (B, T, n_u) with the signs that the network sees, and back."""
        if self.frame is not None:
            return value * self.frame.signs[:, None, -value.shape[-1] :]
        return self._mirrored(value)

    def _mirrored(self, value: Tensor) -> Tensor:
        """Numbers of states or controls; the sign of a frame depends on which."""
        return value if self.side is None else value * self.side


class PlanRepresentation(nn.Module):
    """The buffers of one representation, kept in float64 and saved with the weights.

    Args:
        numbers: of the representation.
        u_min: lower bounds (n_u,).
        u_max: upper bounds (n_u,).
        u_trim: control at rest (n_u,).
        coordinates: the choices behind the numbers; None for those of a config.
    """

    K: Tensor
    G: Tensor
    K_start: Tensor
    L: Tensor
    L_inverse: Tensor
    inputs: Tensor
    goals: Tensor
    places: Tensor
    sources: Tensor
    obstacles: Tensor
    angles: Tensor
    mirror: Tensor
    u_min: Tensor
    u_max: Tensor
    u_trim: Tensor
    has_feedback: bool
    """Whether the controls of a plan depend on the states it meets."""
    gains: tuple[Array, Array, Array]
    """K, G and K_start for compiled roll-outs, which know no tensors."""
    angle_states: tuple[int, ...]
    mirror_state: int
    scene_places: tuple[int, ...]
    obstacle_places: tuple[tuple[int, ...], ...]

    def __init__(
        self,
        numbers: Representation,
        u_min: Array,
        u_max: Array,
        u_trim: Array,
        coordinates: Coordinates | None = None,
    ) -> None:
        super().__init__()
        self.coordinates = coordinates
        for name in MATRICES:
            value = torch.tensor(getattr(numbers, name), dtype=torch.float64)
            self.register_buffer(name, value, persistent=name != 'goals' or len(value) > 0)
        for name, limit in zip(LIMITS, (u_min, u_max, u_trim), strict=True):
            self.register_buffer(name, torch.tensor(limit, dtype=torch.float64))
        for name, value in numbers.scene._asdict().items():
            is_used = numbers.scene.is_used
            self.register_buffer(name, torch.from_numpy(value.copy()), persistent=is_used)
        for name in INDICES:
            self.register_buffer(name, torch.tensor(getattr(numbers, name), dtype=torch.int64))
        self.register_buffer('L_inverse', self.L, persistent=False)
        self.register_load_state_dict_post_hook(_derive)
        _derive(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PlanRepresentation:
        """Follows the model to another device, but keeps float64 when it changes its type."""
        return super()._apply(lambda number: number.to(fn(number).device), recurse)

    @property
    def numbers(self) -> Numbers:
        """The tensors behind the dimensionless units."""
        names = [name for name in Numbers._fields if name not in (*INDICES, 'scene')]
        tensors = {name: getattr(self, name) for name in names}
        return Numbers(
            **tensors,
            angles=self.angle_states,
            mirror=self.mirror_state,
            scene=self._scene(),
        )

    def _scene(self) -> SceneTensors | None:
        """The canonical frame, where it is used."""
        if not self.scene_places:
            return None
        tensors = {name: getattr(self, name) for name in ('signs', 'states', 'sources', 'sizes')}
        return SceneTensors(places=self.scene_places, obstacles=self.obstacle_places, **tensors)

    @property
    def member_dim(self) -> int:
        """How many numbers are read of an obstacle; 0 where there are none."""
        return MEMBER if self.obstacle_places else 0

    @property
    def needs_parameters(self) -> bool:
        """Whether plant parameters are read when a problem is."""
        return bool(self.scene_places) and bool(self.obstacle_places or len(self.sources))

    @property
    def problem_dim(self) -> int:
        """How many numbers the state encoder reads, beside those of obstacles."""
        if self.scene_places:
            scene = Scene(*(getattr(self, name).cpu().numpy() for name in SCENE))
            return scene.problem_dim(len(self.angle_states))
        read = 2 * (self.K.shape[-1] + len(self.angle_states) + len(self.goals))
        return read + len(self.inputs) + 1

    def open_loop_controls(self, v: Tensor, trim: Tensor | None = None) -> Tensor:
        """clip(trim + v), for K = 0 and no dynamics at hand (B, T, n_u); u_trim by default."""
        return torch.clamp((self.u_trim if trim is None else trim) + v, self.u_min, self.u_max)


def _derive(representation: PlanRepresentation, _: object = None) -> None:
    """Computes the attributes that depend on the buffers, which may just have been loaded."""
    representation.L_inverse = torch.linalg.inv(representation.L)
    representation.has_feedback = bool(representation.K.any())
    tensors = representation.K, representation.G, representation.K_start
    K, G, K_start = (tensor.cpu().numpy().copy() for tensor in tensors)
    representation.gains = K, G, K_start
    representation.angle_states = tuple(representation.angles.tolist())
    representation.mirror_state = int(representation.mirror)
    representation.scene_places = tuple(representation.places.tolist())
    representation.obstacle_places = tuple(map(tuple, representation.obstacles.tolist()))


def for_system(system: System, coordinates: Coordinates) -> PlanRepresentation:
    """The representation of one plant's plans."""
    coordinates = coordinates.completed(system)
    numbers = coordinates.numbers(system)
    return PlanRepresentation(numbers, system.u_min, system.u_max, system.u_trim, coordinates)


def open_loop(system: System) -> PlanRepresentation:
    """Plans are the controls themselves (`representation.open_loop`)."""
    return for_system(system, Coordinates('open_loop'))


def stabilised(system: System) -> PlanRepresentation:
    """Plans around the finite-horizon LQR (`representation.stabilised`)."""
    return for_system(system, Coordinates('stabilised'))


def gated(system: System) -> PlanRepresentation:
    """Open-loop plans that an LQR catches near the goal (`representation.gated`)."""
    return for_system(system, Coordinates('gated'))


def from_config(config: TRCConfig) -> PlanRepresentation:
    """Open-loop plans in units of half the control range, states in physical units."""
    T, n_x, n_u = config.control_horizon, config.state_dim, config.control_dim
    u_min, u_max = control_limits(config.control_bounds, n_u)
    identity, half = np.eye(n_x), (u_max - u_min) / 2
    numbers = Representation(
        K=np.zeros((T, n_u, n_x)),
        G=np.zeros((n_x, n_x)),
        K_start=np.zeros((1, T, n_u, n_x)),
        L=np.tile(np.diag(1 / half), (T, 1, 1)),
        L_inverse=np.tile(np.diag(half), (T, 1, 1)),
        W=identity,
        C=identity,
        D=identity,
        S=identity,
        floor=1.0,
        inputs=np.zeros(0),
        angles=np.zeros(0, dtype=np.int64),
        mirror=-1,
        goals=NO_GOALS,
        scene=no_scene(n_x, n_u),
    )
    return PlanRepresentation(numbers, u_min, u_max, np.clip(np.zeros(n_u), u_min, u_max))


def control_limits(bounds: float | Sequence[float], n_u: int) -> tuple[Array, Array]:
    """(u_min, u_max), each (n_u,), from a symmetric scalar or one half-width per channel."""
    half = np.asarray(bounds, dtype=np.float64)
    if half.shape not in ((), (n_u,)):
        raise ValueError(f'control_bounds has shape {half.shape}, expected one number or {n_u}')
    half = np.broadcast_to(half, (n_u,))
    if not np.all(half > 0):
        raise ValueError(f'control_bounds must be positive, got {bounds}')
    return -half, half.copy()
