"""Settings of fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from trc_core.simulation.fleet import ROWS, ModelMismatch
from trc_core.systems.robot_task import DEFAULT_TASK, RobotTask
from trc_core.training.config import RunConfig, require

ALGORITHM_NAMES = ('policy_gradient', 'analytic')  # the keys of `algorithms.ALGORITHMS`
POSITIVE = (
    'iterations',
    'groups',
    'horizons',
    'std',
    'hidden',
    'amplitude',
    'epochs',
    'minibatch',
    'clip',
    'kl_limit',
    'advantage_limit',
    'validate_every',
    'validation_flights',
    'test_flights',
    'substeps',
    'divergence',
    'nominal_limit',
)


@dataclass(frozen=True)
class FinetuneConfig(ModelMismatch, RunConfig):
    """Settings with which a trained controller learns from plants that differ from its model."""

    checkpoint: str = 'van_der_pol'
    """The controller to start from, a shipped name or a path; also as the first argument, without
    the flag."""
    system: str = ''
    """The plant that the checkpoint must be of; a file where only that defines it."""
    task: RobotTask = DEFAULT_TASK
    """Task of a robot that is given by its URDF or MJCF."""
    force: bool = False
    """Take that file's plant although its equations, dt or other numbers are not those of the
    checkpoint, with a warning."""
    output_dir: str = 'outputs/finetuned'
    """Where checkpoints, logs and the report go."""
    algorithm: str = 'policy_gradient'
    """policy_gradient: black boxes; analytic: exact gradients through plants that have them."""
    physics: str = 'system'
    """The physics of the plants: system, or mujoco (robots from a file, and cart-poles)."""
    environment: dict[str, Any] = field(default_factory=dict)
    """A Gymnasium environment instead: id, state and action (docs/finetuning.md)."""
    substeps: int = 1
    """RK4 steps of a plant within a dt; more where friction or a motor lag is fast."""
    noise: float = 0.0
    """Standard deviation of the measurement noise, in half-widths of the training box."""
    iterations: int = 30
    """Rounds of flying and learning from it."""
    groups: int = 16
    """Plants that an iteration draws."""
    members: int = 8
    """Flights on each of them, from the same start, that differ in their exploration only."""
    nominal_share: float = 0.25
    """Share of the groups that fly the model itself."""
    horizons: float = 1.0
    """Duration of a flight; the final test flies two horizons."""
    cycles: int = 1
    """Refinement cycles of a tick while learning; the test takes the checkpoint's own."""
    hidden: int = 32
    """Width of the network that corrects the first control."""
    amplitude: float = 0.5
    """The largest correction of that network, in half ranges of the control."""
    std: float = 0.25
    """Standard deviation of exploration at the start, in half ranges of the control; learnt from
    there."""
    curriculum: float = 0.4
    """Share of the iterations in which plants go from the model itself to as wrong as they get."""
    discount: float = 0.95
    """Discount of costs to come, per tick."""
    epochs: int = 4
    """Passes over the flights of an iteration."""
    minibatch: int = 4096
    """Ticks per optimiser step."""
    clip: float = 0.5
    """Limit of how far the probability ratio is from 1."""
    kl_limit: float = 0.05
    """An iteration's passes end when the policy has moved further than this."""
    advantage_limit: float = 3.0
    """Largest advantage, in deviations of its group."""
    anchor: float = 0.3
    """Weight of the divergence from the supervised controller, on the model itself."""
    validate_every: int = 5
    """Iterations between two validations."""
    validation_flights: int = 64
    """Flights of a validation, the same ones every time."""
    nominal_limit: float = 1.01
    """A checkpoint is not kept if flights on the model itself cost more than this, on average and
    relative to the same flights of the controller that it started from."""
    divergence: float = 3.0
    """The run ends where validation costs this many times the best so far, twice in a row."""
    test_flights: int = 200
    """Flights of the final test, on plants that no other stage has drawn."""
    evaluate: bool = False
    """Learn nothing; only test the best checkpoint in output_dir again."""
    report: str = ''
    """Also write the test as REPORT.json, .md and .png; '' writes them into output_dir."""
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        ModelMismatch.__post_init__(self)
        RunConfig.__post_init__(self)
        require(self, 'be positive', *POSITIVE)
        require(self, 'not be negative', 'noise', 'anchor', 'cycles')
        require(self, 'lie in [0, 1]', 'nominal_share', 'curriculum', 'discount')
        require(self, 'be at least 2', 'members')
        if self.algorithm not in ALGORITHM_NAMES:
            raise ValueError(
                f"unknown algorithm '{self.algorithm}'; choose from {sorted(ALGORITHM_NAMES)}"
            )
        if self.physics not in ROWS:
            raise ValueError(f"unknown physics '{self.physics}'; choose from {sorted(ROWS)}")

    @property
    def mismatch(self) -> ModelMismatch:
        """How far the plants may differ from the model."""
        return ModelMismatch(**{f.name: getattr(self, f.name) for f in fields(ModelMismatch)})
