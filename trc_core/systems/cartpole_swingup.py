"""The cart-pole from any angle: more force, and the pole has to be swung up first."""

from dataclasses import replace

from trc_core.systems import cartpole as balanced
from trc_core.systems.shipped import Recipe

cartpole_swingup = replace(
    balanced.cartpole,
    name='cartpole_swingup',
    u_min=[-20.0],
    u_max=[20.0],
    x0_box=[1.0, 1.0, 3.141592653589793, 1.0],
    goal_box=[0.0, 0.0, 0.0, 0.0],
    goal_tolerance=[0.1] * 4,
)

shipped = replace(
    balanced.shipped,
    system=cartpole_swingup,
    recipes={
        'cartpole_swingup': Recipe(
            'cartpole_swingup',
            stage='hypotheses',
            overrides={'plans': 12, 'labels': 20000, 'first_steps': 8000, 'joint_steps': 8000},
        )
    },
)
