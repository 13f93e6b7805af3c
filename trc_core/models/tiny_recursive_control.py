"""The model: a tiny network that proposes a plan and refines it, cycle by cycle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trc_core.models.config import TRCConfig
from trc_core.models.decoders import ControlSequenceDecoder, ResidualControlDecoder
from trc_core.models.encoders import ControlEmbedding, ControlStateEncoder, ErrorEncoder
from trc_core.models.plan_representation import PlanRepresentation, from_config
from trc_core.models.recursive_reasoning import (
    ControlReasoningModule,
    RecursiveReasoningBlock,
    RecursiveRefinementModule,
    TwoLevelReasoning,
)
from trc_core.models.simulation import Dynamics, Iterate, as_dynamics, choose
from trc_core.systems.base import System

NEWTON_CLAMP = 4.0  # largest Newton step, in units of the initial error's LQ size
Latents = tuple[Tensor, ...]


class Problem(NamedTuple):
    """What stays fixed while a plan is refined."""

    current_state: Tensor
    target_state: Tensor
    s: Tensor
    """(B,) size of the initial error in the metric of the representation."""
    z_initial: Tensor
    """(B, latent_dim)."""


class TinyRecursiveControl(nn.Module):
    """Recursive refinement of control plans (single-latent, or TRM's two levels).

    Args:
        config: sizes and choices.
        representation: coordinates and metric of plans; open-loop plans within
            `config.control_bounds` by default.
    """

    def __init__(
        self, config: TRCConfig, representation: PlanRepresentation | None = None
    ) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.representation = representation or from_config(config)
        T, n_u = config.control_horizon, config.control_dim
        decoder_sizes = (config.latent_dim, config.hidden_dim, T, n_u)
        self.state_encoder = ControlStateEncoder(
            2 * config.state_dim + 1, config.hidden_dim, config.latent_dim
        )
        self.control_embedding = ControlEmbedding(2 * T * n_u, config.latent_dim)
        self.error_encoder = (
            ErrorEncoder(config.feedback_dim(), config.latent_dim) if config.feedback else None
        )
        self.recursive_reasoning = _reasoning(config)
        self.control_decoder = (
            ResidualControlDecoder if config.use_residual_decoder else _FreshDecoder
        )(*decoder_sizes)
        self.initial_generator = ControlSequenceDecoder(*decoder_sizes)
        self.newton_weight = (
            nn.Parameter(torch.full((T,), 0.3)) if 'gradient' in config.feedback else None
        )

    def forward(
        self,
        current_state: Tensor,
        target_state: Tensor,
        time_remaining: Tensor | None = None,
        dynamics_fn: Any = None,
        return_all_iterations: bool = False,
        cycles: int | None = None,
    ) -> dict[str, Tensor]:
        """Plans from the current state to the target state.

        Args:
            current_state: (B, n_x), physical units.
            target_state: (B, n_x).
            time_remaining: (B,) or (B, 1), the fraction of the horizon that is left; default 1.
            dynamics_fn: a `System`; or a function (state (B, n_x), controls (B, T, n_u)) that
                returns final states (B, n_x) or trajectories (B, T + 1, n_x); or None: no
                feedback. With a `System`, a cycle is accepted only if it lowers J.
            return_all_iterations: also return what every cycle did.
            cycles: refinement cycles, default as configured.

        Returns:
            `controls` (B, T, n_u), inside the bounds; `final_latent` (B, latent_dim). With
            `return_all_iterations` also `all_controls` (B, K + 1, T, n_u), `all_latents`
            (B, K + 1, latent_dim), `errors` (B, K, n_x), the final-state error of each refined
            plan (NaN without dynamics), and `all_plans` (B, K + 1, T, n_u), the plans in the
            coordinates of the representation.

        Raises:
            ValueError: if a tensor has the wrong shape or is not finite.
        """
        dynamics = as_dynamics(self.representation, dynamics_fn)
        history = list(self.refine(current_state, target_state, dynamics, time_remaining, cycles))
        last, latents = history[-1]
        dtype = current_state.dtype
        output = {'controls': last.controls.to(dtype), 'final_latent': latents[0]}
        if return_all_iterations:
            iterates = [iterate for iterate, _ in history]
            output['all_controls'] = torch.stack([i.controls for i in iterates], 1).to(dtype)
            output['all_plans'] = torch.stack([i.v for i in iterates], 1)
            output['all_latents'] = torch.stack([z[0] for _, z in history], 1)
            output['errors'] = torch.stack(
                [_final_error(i, target_state) for i in iterates[1:]], 1
            ).to(dtype)
        return output

    def refine(
        self,
        current_state: Tensor,
        target_state: Tensor,
        dynamics: Dynamics,
        time_remaining: Tensor | None = None,
        cycles: int | None = None,
    ) -> Iterator[tuple[Iterate, Latents]]:
        """Yields (plan, latents) at the start and after every cycle."""
        K = self.config.cycles if cycles is None else cycles
        first_with_gradient = K - 1 if self._truncates() else 0
        with torch.set_grad_enabled(torch.is_grad_enabled() and first_with_gradient == 0):
            problem = self.problem(current_state, target_state, time_remaining)
            iterate = self.start(problem, dynamics)
            latents = self.recursive_reasoning.initial_latents(problem.z_initial)
        yield iterate, latents
        for k in range(K):
            with torch.set_grad_enabled(torch.is_grad_enabled() and k >= first_with_gradient):
                if k == first_with_gradient > 0:
                    problem = self.problem(current_state, target_state, time_remaining)
                iterate, latents = self.cycle(problem, iterate, latents, dynamics)
            yield iterate, latents

    def _truncates(self) -> bool:
        config = self.config
        return self.training and config.use_two_level and config.use_gradient_truncation

    def problem(
        self, current_state: Tensor, target_state: Tensor, time_remaining: Tensor | None = None
    ) -> Problem:
        """Checks and encodes what stays fixed during refinement."""
        n_x = self.config.state_dim
        for name, value in (('current_state', current_state), ('target_state', target_state)):
            if value.shape != (current_state.shape[0], n_x):
                raise ValueError(
                    f'{name} has shape {tuple(value.shape)}, '
                    f'expected ({current_state.shape[0]}, {n_x})'
                )
            if not torch.isfinite(value).all():
                raise ValueError(f'{name} is not finite')
        error = current_state - target_state
        if time_remaining is None:
            time_remaining = torch.ones_like(error[:, :1])
        features = self.representation.problem_features(error, time_remaining.view(-1, 1))
        z_initial = self.state_encoder(features.to(self._dtype))
        return Problem(current_state, target_state, self.representation.scale_of(error), z_initial)

    def start(self, problem: Problem, dynamics: Dynamics) -> Iterate:
        """The network's first plan, or v = 0 where the dynamics show that to be cheaper."""
        proposal = self.representation.step(self.initial_generator(problem.z_initial), problem.s)
        states = problem.current_state, problem.target_state
        first = dynamics.simulate(proposal, *states)
        if first.cost is None:
            return first
        zero = dynamics.simulate(torch.zeros_like(proposal), *states)
        assert zero.cost is not None
        return choose(zero.cost <= first.cost, zero, first)

    def cycle(
        self, problem: Problem, iterate: Iterate, latents: Latents, dynamics: Dynamics
    ) -> tuple[Iterate, Latents]:
        """One refinement: a pure function of the problem, the plan and the latents.

        With known cost a step is accepted only if J falls, else a quarter of it, else none.
        """
        step, latents = self.propose(problem, iterate, latents)
        states = problem.current_state, problem.target_state
        proposal = dynamics.simulate(iterate.v + step, *states)
        return dynamics.guard(iterate, proposal, step, *states), latents

    def propose(
        self, problem: Problem, iterate: Iterate, latents: Latents
    ) -> tuple[Tensor, Latents]:
        """The change of v (B, T, n_u) that the network wants, and the new latents."""
        plan = iterate.v.detach()
        plan_features = self.representation.plan_features(plan, iterate.controls, problem.s)
        plan_features = plan_features.detach().to(self._dtype)
        context = self.control_embedding(plan_features)
        if self.error_encoder is not None and iterate.states is not None:
            feedback = self._feedback(problem, iterate).detach().to(self._dtype)
            context = context + self.error_encoder(feedback)
        latents = self.recursive_reasoning(latents, problem.z_initial, context)
        size = self.config.control_horizon * self.config.control_dim
        output = self.control_decoder(latents[0], plan_features[:, :size])
        if self.newton_weight is not None and iterate.gradient is not None:
            slope = self.representation.metric_gradient(iterate.gradient, problem.s)
            slope = slope.clamp(-NEWTON_CLAMP, NEWTON_CLAMP).to(self._dtype)
            output = output - self.newton_weight[:, None] * slope / 2
        step = self.representation.step(output, problem.s)
        return step if self.config.use_residual_decoder else step - plan, latents

    def _feedback(self, problem: Problem, iterate: Iterate) -> Tensor:
        assert iterate.states is not None
        error = iterate.states - problem.target_state[:, None]
        T, parts = self.config.control_horizon, []
        if 'terminal' in self.config.feedback:
            parts.append(self.representation.state_features(error[:, -1:], problem.s))
        if 'trajectory' in self.config.feedback:
            if error.shape[1] < T:
                raise ValueError("feedback 'trajectory' needs dynamics that return trajectories")
            parts.append(self.representation.state_features(error[:, -T:], problem.s))
        if 'gradient' in self.config.feedback:
            if iterate.gradient is None:
                raise ValueError("feedback 'gradient' needs dynamics_fn to be a System")
            slope = self.representation.metric_gradient(iterate.gradient, problem.s)
            parts.append(torch.asinh(slope).flatten(1))
        return torch.cat(parts, dim=-1)

    @property
    def _dtype(self) -> torch.dtype:
        return self.state_encoder.output.weight.dtype

    def get_parameter_count(self) -> dict[str, int]:
        """Number of weights by part; the embedding of the plan counts as reasoning."""
        parts: dict[str, list[nn.Module | None]] = {
            'state_encoder': [self.state_encoder],
            'error_encoder': [self.error_encoder],
            'recursive_reasoning': [self.recursive_reasoning, self.control_embedding],
            'control_decoder': [self.control_decoder],
            'initial_generator': [self.initial_generator],
        }
        counts = {
            name: sum(p.numel() for m in modules if m is not None for p in m.parameters())
            for name, modules in parts.items()
        }
        if self.newton_weight is not None:
            counts['control_decoder'] += self.newton_weight.numel()
        return {**counts, 'total': sum(counts.values())}

    @classmethod
    def for_system(
        cls, system: System, representation: PlanRepresentation, **choices: Any
    ) -> TinyRecursiveControl:
        """A model of the dimensions and bounds of `system`; `choices` are `TRCConfig` fields."""
        half = ((system.u_max - system.u_min) / 2).tolist()
        config = TRCConfig(
            state_dim=system.n_x,
            control_dim=system.n_u,
            control_horizon=system.horizon,
            control_bounds=half,
            **choices,
        )
        return cls(config, representation)

    @classmethod
    def create_small(cls, **overrides: Any) -> TinyRecursiveControl:
        """Single-latent, latent 64, hidden 128."""
        return cls(_preset(64, 128, 2, overrides, num_reasoning_blocks=2))

    @classmethod
    def create_medium(cls, **overrides: Any) -> TinyRecursiveControl:
        """Single-latent, latent 128, hidden 256."""
        return cls(_preset(128, 256, 4, overrides, num_reasoning_blocks=3))

    @classmethod
    def create_large(cls, **overrides: Any) -> TinyRecursiveControl:
        """Single-latent, latent 256, hidden 512."""
        return cls(_preset(256, 512, 8, overrides, num_reasoning_blocks=4))

    @classmethod
    def create_two_level_small(cls, **overrides: Any) -> TinyRecursiveControl:
        """Two-level, latent 64, hidden 128."""
        return cls(_preset(64, 128, 2, overrides, use_two_level=True))

    @classmethod
    def create_two_level_medium(cls, **overrides: Any) -> TinyRecursiveControl:
        """Two-level, latent 128, hidden 256."""
        return cls(_preset(128, 256, 4, overrides, use_two_level=True))

    @classmethod
    def create_two_level_large(cls, **overrides: Any) -> TinyRecursiveControl:
        """Two-level, latent 256, hidden 512."""
        large = {'L_layers': 3, 'L_cycles': 6}
        return cls(_preset(256, 512, 8, overrides, use_two_level=True, **large))


class _FreshDecoder(ControlSequenceDecoder):
    """Writes the plan anew from the latent alone."""

    def forward(self, z: Tensor, current_controls: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(z)


def _preset(
    latent_dim: int, hidden_dim: int, num_heads: int, overrides: dict[str, Any], **choices: Any
) -> TRCConfig:
    sizes = {'latent_dim': latent_dim, 'hidden_dim': hidden_dim, 'num_heads': num_heads}
    return TRCConfig(**{**sizes, **choices, **overrides})


def _reasoning(config: TRCConfig) -> RecursiveRefinementModule | TwoLevelReasoning:
    layers = config.L_layers if config.use_two_level else config.num_reasoning_blocks
    level = ControlReasoningModule(
        [
            RecursiveReasoningBlock(config.latent_dim, config.hidden_dim, config.num_heads)
            for _ in range(layers)
        ]
    )
    if not config.use_two_level:
        return RecursiveRefinementModule(level, config.num_inner_cycles)
    return TwoLevelReasoning(level, config.latent_dim, config.L_cycles, config.learnable_inits)


def _final_error(iterate: Iterate, target_state: Tensor) -> Tensor:
    if iterate.states is None:
        return torch.full_like(target_state, torch.nan)
    return iterate.states[:, -1] - target_state
