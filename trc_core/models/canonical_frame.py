"""What a network reads in a canonical frame (`numerics/canonical.py`), for batches in PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trc_core.numerics.constants import COINCIDE, LEVEL, NEAR, PRESENT, SOFT


class SceneTensors(NamedTuple):
    """A `Scene` as tensors; what says where things are is plain numbers."""

    places: tuple[int, ...]
    signs: Tensor
    states: Tensor
    sources: Tensor
    obstacles: tuple[tuple[int, ...], ...]
    sizes: Tensor


class Frame(NamedTuple):
    """The canonical frames of B problems."""

    scene: SceneTensors
    x0: Tensor
    """(B, n_x), float64."""
    goal: Tensor
    direction: Tensor
    """(B, 2), cosine and sine of the direction of the x axis."""
    side: Tensor
    """(B,), -1 where the problem is mirrored."""

    @classmethod
    def of(cls, scene: SceneTensors, x0: Tensor, goal: Tensor) -> Frame:
        """The frames of problems from x0 to goals, each (B, n_x)."""
        x0, goal = x0.double(), goal.double()
        side = torch.ones_like(x0[:, 0])
        direction = torch.stack([side, torch.zeros_like(side)], 1)
        px, py, heading = scene.places
        if heading >= 0:
            way = (goal - x0)[:, [px, py]]
            d = _length(way)[:, None]
            angle = x0[:, heading]
            own = torch.stack([angle.cos(), angle.sin()], 1)
            direction = torch.where(d > COINCIDE, way / d.clamp(min=COINCIDE), own)
            left = own[:, 1] * direction[:, 0] - own[:, 0] * direction[:, 1]
            if scene.signs[py] < 0:
                side = torch.where(left < -LEVEL, -1.0, side)
        return cls(scene, x0, goal, direction, side)

    def rows(self, rows: Tensor) -> Frame:
        """The frames of some of the problems, by index (N,)."""
        scene, *parts = self
        return Frame(scene, *(part[rows] for part in parts))

    @property
    def signs(self) -> Tensor:
        """Of the states and the controls (B, n_x + n_u), as a network sees them."""
        return torch.where(
            self.side[:, None] < 0, self.scene.signs, torch.ones_like(self.scene.signs)
        )

    def seen(self, errors: Tensor) -> Tensor:
        """Differences of states (B, N, n_x), turned and mirrored."""
        px, py, heading = self.scene.places
        if heading >= 0:
            turned = self._turned(errors[..., [px, py]])
            errors = errors.clone()
            errors[..., [px, py]] = turned
        return errors * self.signs[:, None, : errors.shape[-1]]

    def problem(self, angles: tuple[int, ...], time: Tensor, p: Tensor | None) -> Tensor:
        """What is read beside obstacles (B, problem_dim), in the order of `Scene.problem_dim`."""
        scene, x0, goal = self.scene, self.x0, self.goal
        px, py, heading = scene.places
        parts = []
        if px >= 0:
            way = (goal - x0)[:, [px, py]]
            length = scene.sizes[0]
            parts += [_soft(self._seen_vectors(way[:, None])[:, 0] / length)]
            parts += [torch.log(_length(way) / length + NEAR)[:, None]]
        for i in angles:
            for states in (x0, goal):
                c, s = states[:, i].cos(), states[:, i].sin()
                if i == heading:
                    cos, sin = self.direction.unbind(1)
                    c, s = c * cos + s * sin, s * cos - c * sin
                parts.append(torch.stack([self.signs[:, i] * s, c], 1))
        place, centre, half = scene.states.unbind(1)
        index = place.long()
        both = torch.stack([self.signs[:, index] * states[:, index] for states in (x0, goal)], 2)
        parts.append(_soft((both - centre[:, None]) / half[:, None]).flatten(1))
        if len(scene.sources):
            assert p is not None
            place, centre, half = scene.sources.unbind(1)
            parts.append(_soft((p[:, place.long()] - centre) / half))
        return torch.cat([*parts, time.double()], 1)

    def members(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The features of obstacles by parameters (B, n_p).

        Returns:
            Those of each (B, n_o, MEMBER), those of pairs (B, n_o, n_o, PAIR), and which
            obstacles are there (B, n_o).
        """
        scene, n = self.scene, len(self.scene.obstacles)
        px, py, _ = scene.places
        zero = torch.zeros_like(p[:, :1])
        table = torch.cat([p, zero], 1)  # the place -1, of what an obstacle lacks, reads zero
        index = torch.tensor(scene.obstacles, device=p.device)
        numbers = table[:, index.flatten()].view(len(p), n, 5)
        centre, r, velocity = numbers[..., :2], numbers[..., 2], numbers[..., 3:]
        way = centre - self.x0[:, None, [px, py]]
        to_goal = _length(centre - self.goal[:, None, [px, py]])
        d = _length(way)
        safe = torch.where(d > 0.0, d, 1.0)
        x, y = self._seen_vectors(way).unbind(-1)
        length, middle, half, speed = scene.sizes.unbind(0)
        ratio = torch.where(d > 0.0, r.clamp(min=0.0) / safe, 1.0).clamp(max=1.0)
        features = [
            *(_soft(x / length), _soft(y / length), _soft((r - middle) / half)),
            *_soft(self._seen_vectors(velocity) / speed).unbind(-1),
            *(y / safe, x / safe, torch.asin(ratio)),
            *(_soft((y + r) / length), _soft((y - r) / length)),
            *(torch.log(d / length + NEAR), torch.log(to_goal / length + NEAR)),
        ]
        return torch.stack(features, -1), self._pairs(centre, r, velocity), d < PRESENT

    def _pairs(self, centre: Tensor, r: Tensor, velocity: Tensor) -> Tensor:
        """How obstacle j lies from obstacle i (B, n_o, n_o, PAIR), and how it comes nearer.

        The gap between them, where one may pass, is read on the scale of a length, and finer on
        that of radii.
        """
        way = centre[:, None] - centre[:, :, None]
        d = _length(way)
        gap = d - r[:, None] - r[:, :, None]
        closing = ((velocity[:, None] - velocity[:, :, None]) * way).sum(-1)
        opening = torch.where(d > 0.0, closing / d.clamp(min=COINCIDE), 0.0)
        x, y = self._seen_vectors(way.flatten(1, 2)).view(way.shape).unbind(-1)
        length, _, half, speed = self.scene.sizes.unbind(0)
        features = [x / length, y / length, gap / length, gap / half, opening / speed]
        return _soft(torch.stack(features, -1))

    def _seen_vectors(self, vectors: Tensor) -> Tensor:
        """Vectors of the plane (B, N, 2) in the frame."""
        sign = self.signs[:, self.scene.places[1]][:, None]
        x, y = self._turned(vectors).unbind(-1)
        return torch.stack([x, y * sign], -1)

    def _turned(self, vectors: Tensor) -> Tensor:
        cos, sin = (part[:, None] for part in self.direction.unbind(1))
        x, y = vectors.unbind(-1)
        return torch.stack([cos * x + sin * y, cos * y - sin * x], -1)


def _soft(value: Tensor) -> Tensor:
    return SOFT * torch.tanh(value / SOFT)


def _length(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1).sqrt()
