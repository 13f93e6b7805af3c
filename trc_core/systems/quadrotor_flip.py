"""The quadrotor in space from tilts of up to 141 degrees, from which it turns itself over."""

from dataclasses import replace

from trc_core.systems import quadrotor as hovering
from trc_core.systems.shipped import Recipe

quadrotor_flip = replace(
    hovering.quadrotor,
    name='quadrotor_flip',
    horizon=75,
    x0_box=[1.0] * 3 + [2.0, 2.0, 0.8] + [1.5] * 3 + [2.0] * 3,
)

shipped = replace(
    hovering.shipped,
    system=quadrotor_flip,
    recipes={
        'quadrotor_flip': Recipe(
            'quadrotor_flip',
            overrides={
                'steps': 2000,
                'ladder': [1.0, 10.0, 100.0, 1000.0],
                'sweeps': 3,
                'H_cycles': 5,
                'beam': [5, 3, 2, 1],
                'feedback_stride': 3,
                'latent_dim': 80,
                'hidden_dim': 64,
            },
        )
    },
)
