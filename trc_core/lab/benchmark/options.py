"""Options of `trc benchmark`: what is measured, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trc_core.planner.backends import BACKENDS
from trc_core.planner.controller import CLASSICAL

DEFAULT_SYSTEMS = ('double_integrator', 'van_der_pol', 'cartpole', 'quadrotor_2d')


@dataclass(frozen=True)
class Options:
    """Sizes and choices of a run.

    Raises:
        ValueError: if a field makes no sense; the message says what would.
    """

    systems: tuple[str, ...] = DEFAULT_SYSTEMS
    """Shipped systems, each flown by its shipped checkpoint."""
    backends: tuple[str, ...] = ('numba', 'numpy', 'torch', 'onnx')
    repetitions: int = 1000
    """Interleaved rounds; slow planners sit most of them out."""
    states: int = 200
    """Fresh problems; round after round they come again."""
    seconds: float = 4.0
    """The most that one planner may spend on one system, cold and warm together."""
    least: int = 10
    """Rounds that every planner takes part in, however slow."""
    alone: int = 5000
    """Plans back to back, for the tails."""
    device: str = 'cpu'
    """Where PyTorch plans batches as well; 'cuda' for a GPU."""
    batches: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 4096, 16384)
    horizons: tuple[int, ...] = (15, 25, 50, 100, 150, 200)
    cycles: tuple[int, ...] = tuple(range(1, 11))
    starts: int = 5
    """Processes that are started, to plan once."""
    core: int | None = None
    """To pin to; None: nowhere."""
    fifo: bool = False
    """Ask for the real-time scheduling class SCHED_FIFO."""
    soak: int = 0
    """Plans of the soak run; 0: none."""
    against: Path | None = None
    """Another checkout of trc, whose plan times stand beside these; None: none."""

    crocoddyl_python: str = ''
    """Python of the environment that has Crocoddyl; empty: none."""

    def __post_init__(self) -> None:
        for name in ('repetitions', 'states', 'least', 'alone', 'starts'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got {getattr(self, name)}')
        if self.soak < 0:
            raise ValueError(f'soak must not be negative, got {self.soak}')
        if self.against is not None and not (self.against / 'trc_core').is_dir():
            raise ValueError(f"'{self.against}' is no checkout of trc; give its folder")
        known('backend', self.backends, [name for name in BACKENDS if name != CLASSICAL])


def quick() -> dict[str, object]:
    """The fields of a run that only shows that everything runs."""
    return {
        'repetitions': 20,
        'states': 10,
        'seconds': 0.4,
        'least': 2,
        'alone': 100,
        'batches': (1, 16, 256),
        'horizons': (15, 50),
        'cycles': (1, 3, 10),
        'starts': 1,
    }


def known(kind: str, names: Iterable[str], choices: Iterable[str]) -> tuple[str, ...]:
    """The names, if all of them are among the choices.

    Raises:
        ValueError: if one is not, or there is none; the message lists the choices.
    """
    names = tuple(names)
    for name in names:
        if name not in choices:
            raise ValueError(f"unknown {kind} '{name}'; choose from {sorted(choices)}")
    if not names:
        raise ValueError(f'no {kind} given; choose from {sorted(choices)}')
    return names
