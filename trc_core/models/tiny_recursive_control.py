"""The model: a first plan, then cycles that refine it by its predicted consequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trc_core.models.decoders import (
    ControlSequenceDecoder,
    FreshControlDecoder,
    ResidualControlDecoder,
)
from trc_core.models.encoders import (
    ControlEmbedding,
    ControlStateEncoder,
    ErrorEncoder,
    Relation,
    SetEncoder,
    pooled,
)
from trc_core.models.inputs import check_states, check_tensor, checked_time
from trc_core.models.plan_representation import PlanRepresentation, Units, from_config
from trc_core.models.recursive_reasoning import (
    NORMS,
    ControlReasoningModule,
    RecursiveReasoningBlock,
    RecursiveRefinementModule,
    TwoLevelReasoning,
)
from trc_core.models.search import Latents, Search
from trc_core.models.simulation import Dynamics, Iterate, as_dynamics
from trc_core.models.tokens import TOKENS
from trc_core.network_config import TRCConfig
from trc_core.numerics.constants import NEWTON_CLAMP
from trc_core.problem.system import System


class Problem(NamedTuple):
    """The encoded problem, which stays fixed while plans are refined."""

    current_state: Tensor
    target_state: Tensor
    units: Units
    z_initial: Tensor
    """(B, latent_dim); (B, T, latent_dim) with a latent per control step."""
    members: tuple[Tensor, Tensor] | None = None
    """The encoded obstacles (B, n, set_dim), and which are there (B, n), if there are some."""

    def rows(self, rows: Tensor) -> Problem:
        """Some of the problems, by index (N,)."""
        x, goal, units, z, members = self
        if members is not None:
            members = members[0][rows], members[1][rows]
        return Problem(x[rows], goal[rows], units.rows(rows), z[rows], members)


class TinyRecursiveControl(nn.Module):
    """Recursive refinement of control plans (single-latent, or TRM's two levels).

    Nothing is remembered between calls: plans and latents go in and come out.

    Args:
        config: sizes and choices.
        representation: coordinates and metric of plans; open-loop plans within
            `config.control_bounds` by default.

    Raises:
        ValueError: if the config is inconsistent; the message names the field.
    """

    def __init__(
        self, config: TRCConfig, representation: PlanRepresentation | None = None
    ) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.representation = representation or from_config(config)
        self.tokens = TOKENS[config.tokens]
        latent_dim, n_u, steps = config.latent_dim, config.control_dim, config.steps_per_latent
        member_dim = self.representation.member_dim
        problem_dim, read = self.representation.problem_dim, 2 * config.set_dim * bool(member_dim)
        self.set_encoder = (
            SetEncoder(member_dim, config.set_dim, config.relations, problem_dim)
            if member_dim
            else None
        )
        self.state_encoder = ControlStateEncoder(problem_dim + read, config.hidden_dim, latent_dim)
        refines = config.cycles > 0  # else what only cycles need is left out
        self.control_embedding = ControlEmbedding(2 * steps * n_u, latent_dim) if refines else None
        self.error_encoder = (
            ErrorEncoder(config.feedback_dim(), latent_dim)
            if refines and config.feedback
            else None
        )
        self.recursive_reasoning = _reasoning(config)
        decoder = ResidualControlDecoder if config.use_residual_decoder else FreshControlDecoder
        self.control_decoder = (
            decoder(latent_dim, config.hidden_dim, steps, n_u) if refines else None
        )
        self.initial_generator = ControlSequenceDecoder(
            latent_dim, config.hidden_dim, config.plans_per_latent * steps, n_u
        )
        self.newton_weight = (
            nn.Parameter(torch.full((steps,), 0.3))
            if refines and 'gradient' in config.feedback
            else None
        )
        self.proposals = (
            nn.Parameter(torch.randn(config.plans, latent_dim))
            if config.proposals == 'latents'
            else None
        )
        self.readout = (
            Relation(latent_dim, config.set_dim) if config.has_readout(member_dim) else None
        )

    def forward(
        self,
        current_state: Tensor,
        target_state: Tensor,
        time_remaining: Tensor | None = None,
        dynamics_fn: Any = None,
        return_all_iterations: bool = False,
        cycles: int | None = None,
        plan: Tensor | None = None,
        latents: Latents | None = None,
    ) -> dict[str, Any]:
        """Plans from the current state to the target state.

        Args:
            current_state: (B, n_x), physical units.
            target_state: (B, n_x).
            time_remaining: (B,) or (B, 1), the fraction of the horizon that is left; default 1.
            dynamics_fn: a `System`; or a function (state (B, n_x), controls (B, T, n_u)) that
                returns final states (B, n_x) or trajectories (B, T + 1, n_x); or None: no
                feedback. With a `System`, a cycle is accepted only if it lowers J.
            return_all_iterations: also return the plans and latents of every cycle.
            cycles: refinement cycles, default as configured; 0 gives the first plan.
            plan: (B, T, n_u) to start from, as `plan` of an earlier output; the network's own
                first plan by default.
            latents: to start from, as `latents` of an earlier output.

        Returns:
            `controls` (B, T, n_u), inside the bounds, in physical units; `final_latent`
            (B, latent_dim), z_H; `plan` (B, T, n_u), v of u = clip(u_trim + v - K (x - goal)),
            and `latents`, both to go on from. With `return_all_iterations` also `all_controls`
            (B, K + 1, T, n_u), `all_plans` alike, `all_latents` (B, K + 1, latent_dim),
            `all_z_L` alike (two levels only), and `errors` (B, K, n_x), x_T - target_state of
            each refined plan (NaN without dynamics). With `tokens='horizon'` latents have an
            axis T before latent_dim.

        Raises:
            TypeError, ValueError: if a tensor is of the wrong shape, type or device, or is not
                finite; the message names it and what was expected.
        """
        dynamics = as_dynamics(self.representation, dynamics_fn)
        history = list(
            self.refine(
                current_state, target_state, dynamics, time_remaining, cycles, plan, latents
            )
        )
        last, final = history[-1]
        dtype = current_state.dtype
        output: dict[str, Any] = {
            'controls': last.controls.to(dtype),
            'final_latent': final[0],
            'plan': last.v.to(dtype),
            'latents': final,
        }
        return {**output, **_analyses(history, target_state)} if return_all_iterations else output

    def refine(
        self,
        current_state: Tensor,
        target_state: Tensor,
        dynamics: Dynamics,
        time_remaining: Tensor | None = None,
        cycles: int | None = None,
        plan: Tensor | None = None,
        latents: Latents | None = None,
    ) -> Iterator[tuple[Iterate, Latents]]:
        """Yields (plan, latents) at the start and after every cycle; arguments as `forward`.

        Of several candidates (the network's first plans, LQR plans) each cycle refines the best
        `config.beam` ones, and the best of all is yielded. With gradient truncation (in training)
        only the last cycle is differentiated, as in TRM: no activation of an earlier one is kept.
        Source: the paper, figure 3.
        """
        K = self.config.cycles if cycles is None else cycles
        if K < 0:
            raise ValueError(f'cycles must not be negative, got {K}')
        if K and self.control_decoder is None:
            raise ValueError(f'this network only proposes: pass cycles=0, not {K}')
        truncated = self.training and self.config.use_gradient_truncation
        problem = self.problem(current_state, target_state, time_remaining, dynamics)
        if latents is None:
            latents = self.initial_latents(problem)
        self._check_start(current_state, plan, latents)
        if plan is None:
            candidates = self.candidates(problem, latents, dynamics)
        else:
            candidates = [dynamics.simulate(plan.double(), current_state, target_state)]
        search = Search.of(problem, dynamics, candidates, latents)
        yield search.best
        for k in range(K):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not (truncated and k < K - 1)):
                search = self.advance(search.keep(self.config.beam_width(k)))
            yield search.best

    def advance(self, search: Search) -> Search:
        """One cycle on every plan of a search."""
        iterate, latents = self.cycle(
            search.problem, search.iterate, search.latents, search.dynamics
        )
        return search.after(iterate, latents)

    def problem(
        self,
        current_state: Tensor,
        target_state: Tensor,
        time_remaining: Tensor | None = None,
        dynamics: Dynamics | None = None,
        parameters: Tensor | None = None,
    ) -> Problem:
        """Checks and encodes what stays fixed during refinement; arguments as `forward`.

        Parameters (B, n_p) of the plants are those of `dynamics` by default; they are needed
        where the network reads some of them, or obstacles.

        Raises:
            ValueError: as `forward`, or if parameters are needed and unknown.
        """
        weight = self.state_encoder.output.weight
        check_states(current_state, target_state, self.config.state_dim, weight)
        time_remaining = checked_time(time_remaining, current_state)
        error = current_state - target_state
        units = (
            self.representation.numbers.units(error, target_state)
            if dynamics is None
            else dynamics.units(error, target_state)
        )
        if parameters is None and self.representation.needs_parameters:
            if dynamics is not None:
                parameters = dynamics.parameters(len(error))
            if parameters is None:
                raise ValueError('this network reads plant parameters: pass parameters=(B, n_p)')
        features = units.problem(error, time_remaining, target_state, parameters)
        read, members = features.to(weight.dtype), None
        if self.set_encoder is not None and parameters is not None:
            seen, pairs, there = units.members(parameters.double())
            seen, pairs = seen.to(weight.dtype), pairs.to(weight.dtype)
            members = self.set_encoder(seen, there, pairs, read), there
            read = torch.cat([read, pooled(*members)], -1)
        z = self.state_encoder(read)
        z_initial = self.tokens.spread(z, self.config.control_horizon)
        return Problem(current_state, target_state, units, z_initial, members)

    def initial_latents(self, problem: Problem) -> Latents:
        """The latents before the first plan: `first_cycles` of reasoning on the problem alone.

        Where every first plan has a latent of its own, those are reasoned about instead.
        """
        if self.proposals is not None:
            return self.recursive_reasoning.initial_latents(problem.z_initial)
        return self._first_reasoning(problem.z_initial)

    def _first_reasoning(self, z: Tensor) -> Latents:
        """The latents of an embedded problem (B, latent_dim) after `first_cycles`."""
        latents = self.recursive_reasoning.initial_latents(z)
        for _ in range(self.config.first_cycles):
            latents = self.recursive_reasoning(latents, z, torch.zeros_like(z))
        return latents

    def _check_start(self, current_state: Tensor, plan: Tensor | None, latents: Latents) -> None:
        config, B = self.config, current_state.shape[0]
        steps = () if config.tokens == 'vector' else (config.control_horizon,)
        if plan is not None:
            shape = (B, config.control_horizon, config.control_dim)
            check_tensor('plan', plan, shape, ('current_state', current_state))
        names = ('z_H', 'z_L') if config.use_two_level else ('z',)
        if len(latents) != len(names):
            raise ValueError(f'latents holds {len(latents)} tensors, expected {names}')
        weight = 'the weights', self.state_encoder.output.weight
        for name, z in zip(names, latents, strict=True):
            check_tensor(f'latents: {name}', z, (B, *steps, config.latent_dim), weight)

    def first_plans(self, problem: Problem, latents: Latents) -> list[Tensor]:
        """The network's first plans v, each (B, T, n_u), before any is simulated."""
        if self.proposals is not None:
            return [problem.units.step(output) for output in self._proposed(problem).unbind(1)]
        z = latents[0] if self.config.first_cycles else problem.z_initial
        outputs = self.initial_generator(z).unflatten(1, (self.config.plans, -1))
        return [problem.units.step(output) for output in outputs.unbind(1)]

    def _proposed(self, problem: Problem) -> Tensor:
        """The dimensionless first plans (B, M, T, n_u), each from a latent of its own."""
        assert self.proposals is not None
        z = problem.z_initial[:, None] + self.proposals
        if self.readout is not None and problem.members is not None:
            z = z + self.readout(z, *problem.members)
        z = z.flatten(0, 1)
        if self.config.first_cycles:
            z = self._first_reasoning(z)[0]
        return self.initial_generator(z).unflatten(0, (-1, self.config.plans))

    def candidates(self, problem: Problem, latents: Latents, dynamics: Dynamics) -> list[Iterate]:
        """Plans that refinement may start from: LQR plans where there are some, and the network's.

        Where there is a ladder of LQR plans, the network's first plans correct the best of them.
        """
        x0, goal = problem.current_state, problem.target_state
        starts = dynamics.starts(x0, goal)
        plans = self.first_plans(problem, latents)
        if len(starts) > 1:
            base = Search.of(problem, dynamics, starts, latents).best[0].v
            plans = [base + plan for plan in plans]
        return [*starts, *(dynamics.simulate(v, x0, goal) for v in plans)]

    def cycle(
        self, problem: Problem, iterate: Iterate, latents: Latents, dynamics: Dynamics
    ) -> tuple[Iterate, Latents]:
        """One refinement: a pure function of the problem, the plan and the latents.

        With known cost a step is accepted only if J falls, else a quarter of it, else none.
        """
        step, latents = self.propose(problem, iterate, latents)
        x0, goal = problem.current_state, problem.target_state
        proposal = dynamics.simulate(iterate.v + step, x0, goal)
        refined = dynamics.guard(iterate, proposal, step, x0, goal)
        if self.config.sweeps:
            refined = dynamics.sweep(refined, goal, self.config.sweeps)
        return refined, latents

    def propose(
        self, problem: Problem, iterate: Iterate, latents: Latents
    ) -> tuple[Tensor, Latents]:
        """The change of v (B, T, n_u) that the network proposes, and the new latents."""
        if self.control_embedding is None or self.control_decoder is None:
            raise ValueError('this network only proposes, it refines no plan')
        units = problem.units
        dtype = self.state_encoder.output.weight.dtype
        plan = iterate.v.detach()
        T = plan.shape[1]
        # Encode the plan and its consequences.
        metric_plan = units.plan(plan).to(dtype)
        place = units.controls(iterate.controls.detach()).to(dtype)
        context = self.control_embedding(self.tokens.join([metric_plan, place], T))
        if self.error_encoder is not None and iterate.states is not None:
            parts = [part.detach().to(dtype) for part in self._feedback(problem, iterate)]
            context = context + self.error_encoder(self.tokens.join(parts, T))
        # Reason, and decode a dimensionless correction.
        latents = self.recursive_reasoning(latents, problem.z_initial, context)
        output = self.control_decoder(latents[0], self.tokens.join([metric_plan], T))
        if self.newton_weight is not None and iterate.gradient is not None:
            slope = units.gradient(iterate.gradient)
            slope = slope.clamp(-NEWTON_CLAMP, NEWTON_CLAMP).to(dtype)
            output = output - self.newton_weight[:, None] * slope / 2
        step = units.step(output)
        return step if self.config.use_residual_decoder else step - plan, latents

    def _feedback(self, problem: Problem, iterate: Iterate) -> list[Tensor]:
        """Inputs of the error encoder: features (B, T or 1, k) of the control steps."""
        assert iterate.states is not None
        units, kinds, T = problem.units, self.config.feedback, iterate.v.shape[1]
        error = iterate.states - problem.target_state[:, None]
        parts = []
        if 'terminal' in kinds:
            parts.append(units.states(error[:, -1:]))
        if 'trajectory' in kinds:
            if error.shape[1] < T:
                raise ValueError("feedback 'trajectory' needs dynamics that return trajectories")
            stride = self.config.feedback_stride
            parts.append(units.states(error[:, -T:][:, stride - 1 :: stride]))
        if 'gradient' in kinds:
            if iterate.gradient is None:
                raise ValueError("feedback 'gradient' needs dynamics_fn to be a System")
            parts.append(torch.asinh(units.gradient(iterate.gradient)))
        return parts

    def get_parameter_count(self) -> dict[str, int]:
        """Number of weights by part; the embedding of the plan counts as reasoning."""
        parts: dict[str, list[nn.Module | None]] = {
            'state_encoder': [self.set_encoder, self.state_encoder],
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
        if self.proposals is not None:
            counts['initial_generator'] += self.proposals.numel()
        if self.readout is not None:
            counts['initial_generator'] += sum(p.numel() for p in self.readout.parameters())
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
        """Single-latent, latent 64, hidden 128: 121 thousand weights.

        The sizes are those of the published design, which states a total of about 1 million.
        `overrides` are fields of `TRCConfig`.
        """
        return cls(_preset(64, 128, 2, overrides, num_reasoning_blocks=2))

    @classmethod
    def create_medium(cls, **overrides: Any) -> TinyRecursiveControl:
        """Single-latent, latent 128, hidden 256: 629 thousand weights.

        The sizes are those of the published design, which states totals of about 530 thousand
        and of 3 million. `overrides` are fields of `TRCConfig`.
        """
        return cls(_preset(128, 256, 4, overrides, num_reasoning_blocks=3))

    @classmethod
    def create_large(cls, **overrides: Any) -> TinyRecursiveControl:
        """Single-latent, latent 256, hidden 512: 3.1 million weights.

        The published design states about 5 million. `overrides` are fields of `TRCConfig`.
        """
        return cls(_preset(256, 512, 8, overrides, num_reasoning_blocks=4))

    @classmethod
    def create_two_level_small(cls, **overrides: Any) -> TinyRecursiveControl:
        """Two-level, latent 64, hidden 128: 121 thousand weights.

        The published design states about 150 thousand. `overrides` are fields of `TRCConfig`.
        """
        return cls(_preset(64, 128, 2, overrides, use_two_level=True))

    @classmethod
    def create_two_level_medium(cls, **overrides: Any) -> TinyRecursiveControl:
        """Two-level, latent 128, hidden 256: 464 thousand weights.

        The published design states about 600 thousand, and 560 thousand as the sum of its parts.
        `overrides` are fields of `TRCConfig`.
        """
        return cls(_preset(128, 256, 4, overrides, use_two_level=True))

    @classmethod
    def create_two_level_large(cls, **overrides: Any) -> TinyRecursiveControl:
        """Two-level, latent 256, hidden 512: 2.5 million weights.

        The published design states about 1.5 million, but three blocks of its sizes alone have
        2.0 million. `overrides` are fields of `TRCConfig`.
        """
        large = {'L_layers': 3, 'L_cycles': 6}
        return cls(_preset(256, 512, 8, overrides, use_two_level=True, **large))


def _analyses(history: list[tuple[Iterate, Latents]], target_state: Tensor) -> dict[str, Tensor]:
    """Plans, latents and final errors of every cycle, stacked along axis 1."""
    iterates = [iterate for iterate, _ in history]
    dtype = target_state.dtype
    errors = [_final_error(iterate, target_state) for iterate in iterates]
    result = {
        'all_controls': torch.stack([i.controls for i in iterates], 1).to(dtype),
        'all_plans': torch.stack([i.v for i in iterates], 1).to(dtype),
        'all_latents': torch.stack([z[0] for _, z in history], 1),
        'errors': torch.stack(errors, 1)[:, 1:].to(dtype),
    }
    if len(history[0][1]) == 2:
        result['all_z_L'] = torch.stack([z[1] for _, z in history], 1)
    return result


def _final_error(iterate: Iterate, target_state: Tensor) -> Tensor:
    if iterate.states is None:
        return torch.full_like(target_state, torch.nan)
    return iterate.states[:, -1] - target_state


def _preset(
    latent_dim: int, hidden_dim: int, num_heads: int, overrides: dict[str, Any], **choices: Any
) -> TRCConfig:
    sizes = {'latent_dim': latent_dim, 'hidden_dim': hidden_dim, 'num_heads': num_heads}
    return TRCConfig(**{**sizes, **choices, **overrides})


def _reasoning(config: TRCConfig) -> RecursiveRefinementModule | TwoLevelReasoning:
    layers = config.L_layers if config.use_two_level else config.num_reasoning_blocks
    blocks = [
        RecursiveReasoningBlock(
            config.latent_dim,
            config.hidden_dim,
            config.num_heads,
            config.norm,
            config.norm_position,
            config.activation,
        )
        for _ in range(layers)
    ]
    final_norm = NORMS[config.norm](config.latent_dim) if config.norm_position == 'pre' else None
    level = ControlReasoningModule(blocks, final_norm)
    if not config.use_two_level:
        return RecursiveRefinementModule(level, config.num_inner_cycles)
    return TwoLevelReasoning(level, config.latent_dim, config.L_cycles, config.learnable_inits)
