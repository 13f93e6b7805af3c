"""`TRCConfig`: sizes and choices of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

FEEDBACK_KINDS = ('terminal', 'trajectory', 'gradient')
CHOICES = {
    'norm': ('layer', 'rms'),
    'norm_position': ('post', 'pre'),
    'activation': ('swiglu', 'silu'),
    'tokens': ('vector', 'horizon'),
}


@dataclass
class TRCConfig:
    """Sizes and choices of a `TinyRecursiveControl`.

    The names up to `learnable_inits` are those of the published guide. A config may be changed
    until a model is built from it, which checks it.

    Raises:
        ValueError: (when a model is built) if a size is not positive or a choice is unknown.
    """

    state_dim: int = 2
    control_dim: int = 1
    control_horizon: int = 15
    latent_dim: int = 128
    hidden_dim: int = 256
    num_heads: int = 4
    """Attention heads of each block; 0 leaves attention out (over one token it is linear)."""
    num_reasoning_blocks: int = 3
    """Blocks of the single-latent mode."""
    num_outer_cycles: int = 3
    """Refinement cycles of the single-latent mode."""
    num_inner_cycles: int = 3
    """Reasoning steps within a cycle of the single-latent mode."""
    control_bounds: float | Sequence[float] = 4.0
    """Half-width of the control range, one number or one per channel."""
    use_residual_decoder: bool = True
    """Each cycle corrects the plan; otherwise each cycle writes the plan anew."""
    use_two_level: bool = False
    H_cycles: int = 3
    """Refinement cycles of the two-level mode."""
    L_cycles: int = 4
    L_layers: int = 2
    use_gradient_truncation: bool = False
    """Training passes gradients through the last cycle only, as TRM does."""
    learnable_inits: bool = True
    """Whether H_init and L_init are trained; otherwise they keep their random values."""
    feedback: Sequence[str] = ('terminal',)
    """Consequences of the plan that a cycle sees: terminal, trajectory, gradient."""
    norm: str = 'layer'
    """`layer` (LayerNorm) or `rms` (RMSNorm, as TRM)."""
    norm_position: str = 'post'
    """`post`: norm(z + f(z)), as TRM; `pre`: z + f(norm(z)), and a norm behind the blocks."""
    activation: str = 'swiglu'
    """Perceptron of each block: `swiglu` (as TRM), or `silu` with two plain layers."""
    plans: int = 1
    """First plans that the network writes, to be tried side by side (hypotheses)."""
    first_cycles: int = 0
    """Reasoning cycles before the first plan."""
    beam: Sequence[int] = (1,)
    """Best plans that cycle 1, 2, ... refines; the last number holds from there on."""
    sweeps: int = 0
    """Box-iLQR sweeps at the end of every cycle."""
    feedback_stride: int = 1
    """Feedback `trajectory` shows every state of this stride."""
    tokens: str = 'vector'
    """`vector`: one latent for the whole plan; `horizon`: one per control step, as TRM has one
    per cell of its answer: the weights are shared by the steps and fit any horizon."""

    def check(self) -> None:
        """Checks every field.

        Raises:
            ValueError: for the first that is inconsistent; the message names it.
        """
        sizes = ('state_dim', 'control_dim', 'control_horizon', 'latent_dim', 'hidden_dim')
        counts = ('num_reasoning_blocks', 'num_outer_cycles', 'num_inner_cycles')
        others = ('H_cycles', 'L_cycles', 'L_layers', 'plans', 'feedback_stride')
        for name in (*sizes, *counts, *others):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got {getattr(self, name)}')
        if self.num_heads and self.latent_dim % self.num_heads:
            raise ValueError(
                f'latent_dim {self.latent_dim} must be a multiple of num_heads {self.num_heads}'
            )
        if isinstance(self.feedback, str):
            raise ValueError(
                f"feedback is the text '{self.feedback}'; write a list, some of "
                f'{list(FEEDBACK_KINDS)}'
            )
        unknown = sorted(set(self.feedback) - set(FEEDBACK_KINDS))
        if unknown:
            raise ValueError(f'unknown feedback {unknown}; choose from {list(FEEDBACK_KINDS)}')
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"unknown {name} '{getattr(self, name)}'; choose from {list(known)}"
                )
        for name in ('first_cycles', 'sweeps'):
            if getattr(self, name) < 0:
                raise ValueError(f'{name} must not be negative, got {getattr(self, name)}')
        if not self.beam or min(self.beam) < 1:
            raise ValueError(f'beam must hold numbers of at least 1, got {list(self.beam)}')
        if self.feedback_stride > self.control_horizon:
            raise ValueError(f'feedback_stride {self.feedback_stride} exceeds the horizon')
        if self.tokens == 'horizon':
            self._check_horizon_tokens()

    def _check_horizon_tokens(self) -> None:
        if not self.num_heads:
            raise ValueError(
                "tokens='horizon' needs num_heads of at least 1: attention alone "
                'carries knowledge from one step of the plan to another'
            )
        if self.plans > 1 or self.feedback_stride > 1:
            raise ValueError("tokens='horizon' goes with plans=1 and feedback_stride=1")

    @property
    def cycles(self) -> int:
        """Refinement cycles of `forward` by default."""
        return self.H_cycles if self.use_two_level else self.num_outer_cycles

    def beam_width(self, cycle: int) -> int:
        """The number of plans that a cycle (0 is the first) refines."""
        return self.beam[min(cycle, len(self.beam) - 1)]

    @property
    def steps_per_latent(self) -> int:
        """Control steps that one latent stands for."""
        return self.control_horizon if self.tokens == 'vector' else 1

    def feedback_dim(self) -> int:
        """Length of the input of the error encoder for one latent."""
        N, n_x, n_u = self.steps_per_latent, self.state_dim, self.control_dim
        states = N // self.feedback_stride
        sizes = {'terminal': n_x, 'trajectory': states * n_x, 'gradient': N * n_u}
        return sum(sizes[kind] for kind in FEEDBACK_KINDS if kind in self.feedback)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        bounds = self.control_bounds
        listed = bounds if isinstance(bounds, (int, float)) else list(bounds)
        lists = {'feedback': list(self.feedback), 'beam': list(self.beam)}
        return {**asdict(self), **lists, 'control_bounds': listed}
