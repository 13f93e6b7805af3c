"""`TRCConfig`: sizes and choices of a model, and the weights that follow from them.

No PyTorch here: what flies reads checkpoints without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

MOST = 1000  # cycles, blocks and the like: more is a damaged number, and would plan for hours
SIZES = ('state_dim', 'control_dim', 'control_horizon', 'latent_dim', 'hidden_dim')
COUNTS = (
    *('num_reasoning_blocks', 'num_inner_cycles', 'L_cycles', 'L_layers'),
    *('plans', 'set_dim'),
)
CYCLES = ('num_outer_cycles', 'H_cycles')  # may be none
MAYBE = (*CYCLES, 'first_cycles', 'sweeps', 'relations')
FEEDBACK_KINDS = ('terminal', 'trajectory', 'gradient')
CHOICES = {
    'norm': ('layer', 'rms'),
    'norm_position': ('post', 'pre'),
    'activation': ('swiglu', 'silu'),
    'tokens': ('vector', 'horizon'),
    'proposals': ('outputs', 'latents'),
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
    """Refinement cycles of the single-latent mode; 0 for a network that only proposes."""
    num_inner_cycles: int = 3
    """Reasoning steps within a cycle of the single-latent mode."""
    control_bounds: float | Sequence[float] = 4.0
    """Half-width of the control range, one number or one per channel."""
    use_residual_decoder: bool = True
    """Each cycle corrects the plan; otherwise each cycle writes the plan anew."""
    use_two_level: bool = False
    H_cycles: int = 3
    """Refinement cycles of the two-level mode; 0 for a network that only proposes."""
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
    proposals: str = 'outputs'
    """How first plans are written: `outputs`, all by one layer from one latent; `latents`, each
    from a learned latent of its own, by `first_cycles` of reasoning and a layer for all."""
    set_dim: int = 64
    """Width of the encoder of obstacles, where there are some."""
    relations: int = 0
    """Rounds in which every obstacle reads of all, where there are some; first plans that have
    latents of their own then read of them too. 0: each is encoded alone."""

    def check(self) -> None:
        """Checks every field.

        Raises:
            ValueError: for the first that is inconsistent; the message names it.
        """
        for name in (*SIZES, *COUNTS, 'feedback_stride'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got {getattr(self, name)}')
        for name in (*COUNTS, *MAYBE):
            if getattr(self, name) > MOST:
                raise ValueError(f'{name} must be at most {MOST}, got {getattr(self, name)}')
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
        for name in (*MAYBE, 'num_heads'):
            if getattr(self, name) < 0:
                raise ValueError(f'{name} must not be negative, got {getattr(self, name)}')
        if not self.beam or not 1 <= min(self.beam) <= max(self.beam) <= MOST:
            raise ValueError(f'beam must hold numbers from 1 to {MOST}, got {list(self.beam)}')
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
        if self.plans > 1 or self.feedback_stride > 1 or self.proposals != 'outputs':
            raise ValueError(
                "tokens='horizon' goes with plans=1, feedback_stride=1 and proposals='outputs'"
            )

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

    @property
    def plans_per_latent(self) -> int:
        """First plans that the decoder writes from one latent."""
        return self.plans if self.proposals == 'outputs' else 1

    def shapes(
        self, problem_dim: int, member_dim: int = 0, pair_dim: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """The shape of every weight, by its name in the model's state_dict.

        Args:
            problem_dim: how many numbers are read of a problem.
            member_dim: how many are read of an obstacle; 0 where there are none.
            pair_dim: how many are read of two obstacles.
        """
        latent, hidden = self.latent_dim, self.hidden_dim
        plan = self.steps_per_latent * self.control_dim
        width, pooled = self.set_dim, 2 * self.set_dim if member_dim else 0
        layers = {  # outputs and inputs
            'state_encoder.hidden': (hidden, problem_dim + pooled),
            'state_encoder.output': (latent, hidden),
            'initial_generator.hidden': (hidden, latent),
            'initial_generator.output': (self.plans_per_latent * plan, hidden),
        }
        if member_dim:
            beside = problem_dim if self.relations else 0
            layers['set_encoder.hidden'] = (width, member_dim + beside)
            layers['set_encoder.output'] = (width, width)
            for k in range(self.relations):
                layers |= self._relation_layers(f'set_encoder.relations.{k}', width, pair_dim)
        if self.has_readout(member_dim):
            layers |= self._relation_layers('readout', latent)
        if self.cycles:
            layers |= self._cycle_layers(plan)
        found = _layer_shapes(layers)
        if self.proposals == 'latents':
            found['proposals'] = (self.plans, latent)
        if 'gradient' in self.feedback and self.cycles:
            found['newton_weight'] = (self.steps_per_latent,)
        for name, shape in self._reasoning_shapes().items():
            found[f'recursive_reasoning.{name}'] = shape
        return found

    def has_readout(self, member_dim: int) -> bool:
        """Whether first plans read of single obstacles, of which so many numbers are known."""
        return bool(member_dim and self.relations) and self.proposals == 'latents'

    def _relation_layers(
        self, name: str, receiver: int, pair: int = 0
    ) -> dict[str, tuple[int, int]]:
        """The layers by which receivers of so many numbers read of obstacles."""
        width = self.set_dim
        layers = {
            f'{name}.receiver': (width, receiver),
            f'{name}.sender': (width, width),
            f'{name}.output': (receiver, 2 * width),
        }
        return {**layers, **({f'{name}.pair': (width, pair)} if pair else {})}

    def _cycle_layers(self, plan: int) -> dict[str, tuple[int, int]]:
        """The layers of refinement, for plans of so many numbers."""
        latent, hidden = self.latent_dim, self.hidden_dim
        layers = {
            'control_embedding.linear': (latent, 2 * plan),
            'control_decoder.hidden': (hidden, latent + plan * self.use_residual_decoder),
            'control_decoder.output': (plan, hidden),
        }
        if self.feedback:
            layers['error_encoder.hidden'] = (latent, self.feedback_dim())
            layers['error_encoder.output'] = (latent, latent)
        return layers

    def _reasoning_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights of the recursion."""
        latent, found = self.latent_dim, {}
        wide = self.hidden_dim * (2 if self.activation == 'swiglu' else 1)
        norm = {'weight': (latent,), **({'bias': (latent,)} if self.norm == 'layer' else {})}
        block: dict[str, tuple[int, ...]] = {
            **_layer_shapes(
                {'mlp.input': (wide, latent), 'mlp.output': (latent, self.hidden_dim)}
            ),
            **{f'mlp_norm.{part}': shape for part, shape in norm.items()},
        }
        if self.num_heads:
            block |= _layer_shapes({'attention.attention.out_proj': (latent, latent)})
            block['attention.attention.in_proj_weight'] = (3 * latent, latent)
            block['attention.attention.in_proj_bias'] = (3 * latent,)
            block |= {f'attention_norm.{part}': shape for part, shape in norm.items()}
        for k in range(self.L_layers if self.use_two_level else self.num_reasoning_blocks):
            found.update({f'L_level.blocks.{k}.{name}': shape for name, shape in block.items()})
        if self.norm_position == 'pre':
            found.update({f'L_level.norm.{part}': shape for part, shape in norm.items()})
        if self.use_two_level:
            found.update({'H_init': (latent,), 'L_init': (latent,)})
        return found

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TRCConfig:
        """The inverse of `to_dict`; what a record lacks is as by default.

        Raises:
            ValueError: if a field is unknown, of another type, or inconsistent; it is named.
        """
        if not isinstance(record, Mapping):
            raise ValueError(f'the model is {record!r:.60}, expected fields of TRCConfig')
        known = {f.name: f.default for f in fields(cls)}
        for name, value in record.items():
            if name not in known:
                raise ValueError(f"the model has the unknown field '{name}'")
            if not _is_like(value, known[name]):
                raise ValueError(
                    f'{name} of the model is {value!r:.60}, expected the like of {known[name]!r}'
                )
        config = cls(**record)
        config.check()
        return config

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        bounds = self.control_bounds
        listed = bounds if isinstance(bounds, (int, float)) else list(bounds)
        lists = {'feedback': list(self.feedback), 'beam': list(self.beam)}
        return {**asdict(self), **lists, 'control_bounds': listed}


def _layer_shapes(layers: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights and biases of layers with some outputs and inputs."""
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in layers.items():
        found[f'{name}.weight'] = shape
        found[f'{name}.bias'] = shape[:1]
    return found


def _is_like(value: Any, default: Any) -> bool:
    """Whether a JSON value may stand where a default does: true is no number, nor 1.0 a count."""
    if isinstance(default, float):  # the bounds: one number or one per channel
        numbers = value if isinstance(value, list) and value else [value]
        return all(type(number) in (int, float) and 0 < number < math.inf for number in numbers)
    if isinstance(default, tuple):
        kind = type(default[0])
        return isinstance(value, (list, tuple)) and all(type(entry) is kind for entry in value)
    return type(value) is type(default)
