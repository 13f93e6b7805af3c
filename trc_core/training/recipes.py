"""What each shipped checkpoint was trained with; everything else is the stage's default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STAGES = {
    'cost': 'learns from the exact gradient of J; no demonstrations',
    'hypotheses': 'imitates the best known plans, several guesses side by side (swing-ups)',
    'imitation': 'imitates the plans of a dataset, every cycle (--data_dir)',
    'process': 'lowers J of every cycle on the states of a dataset (--data_dir)',
}


@dataclass(frozen=True)
class Recipe:
    """How one checkpoint is trained."""

    system: str
    stage: str = 'cost'
    """A key of `STAGES`."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the stage that differ from its defaults."""


RECIPES = {
    'double_integrator': Recipe('double_integrator', overrides={'steps': 300}),
    'van_der_pol': Recipe('van_der_pol', overrides={'steps': 2000}),
    'van_der_pol_mu': Recipe(
        'van_der_pol', overrides={'steps': 3000, 'ranges': {'mu': [0.5, 1.5]}}
    ),
    'quadrotor_2d': Recipe('quadrotor_2d', overrides={'steps': 4000}),
    'cartpole': Recipe(
        'cartpole',
        overrides={'steps': 4000, 'ladder': [1.0, 10.0, 100.0], 'box': 1.15, 'sweeps': 1},
    ),
    'pendulum': Recipe(
        'pendulum',
        stage='hypotheses',
        overrides={
            'plans': 4,
            'latent_dim': 64,
            'hidden_dim': 64,
            'labels': 2400,
            'first_steps': 3000,
            'joint_steps': 1500,
            'H_cycles': 3,
        },
    ),
    'cartpole_swingup': Recipe(
        'cartpole_swingup',
        stage='hypotheses',
        overrides={'plans': 12, 'labels': 20000, 'first_steps': 8000, 'joint_steps': 8000},
    ),
}
