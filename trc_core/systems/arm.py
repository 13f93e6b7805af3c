"""An arm of six joints, as large and as strong as a UR5e, that reaches any pose of its joints."""

from pathlib import Path

import numpy as np

from trc_core.problem.system import Array, System
from trc_core.systems.shipped import Recipe, ShippedSystem

LIMITS = np.array([2.0, 2.0, 1.0, 2.0, 2.0, 2.0]) * np.pi  # [rad] to either side
EFFORT = np.array([150.0, 150.0, 150.0, 28.0, 28.0, 28.0])  # [N m]
ROTOR = 0.1  # [kg m^2] a rotor of 1e-5 kg m^2 behind a gear of 100, which no URDF states
DRAWN = 0.95  # of the limits, within which problems are drawn
START_SPEED = 0.3  # [rad/s]
REACH = 2.0  # [rad] what a joint can travel within a plan of 1 s, and come to rest

arm = System.from_urdf(
    Path(__file__).with_name('arm.urdf'),
    tip='tool0',
    dt=0.02,
    horizon=50,
    payload=0.0,
    armature=ROTOR,
    position_weight=10.0,
    speed_weight=0.2,
    effort_weight=3.0 / EFFORT**2,
    x0_box=np.concatenate([DRAWN * LIMITS, np.full(6, START_SPEED)]),
    goal_box=np.concatenate([DRAWN * LIMITS, np.zeros(6)]),
    goal_tolerance=[0.02] * 6 + [0.1] * 6,
    constraint_tolerance=1e-3,
    violation_weight=300.0,  # multipliers are below 20 within reach, below 270 for any goal
)


def draw(rng: np.random.Generator) -> tuple[Array, Array, dict[str, float]]:
    """A start (12,) anywhere, and a goal (12,) that a plan can reach within its horizon."""
    (x0,), (goal,) = arm.sample(rng, 1)
    near = x0[:6] + rng.uniform(-REACH, REACH, 6)
    goal[:6] = np.clip(near, -DRAWN * LIMITS, DRAWN * LIMITS)
    return x0, goal, {}


shipped = ShippedSystem(
    arm,
    recipes={
        'arm': Recipe(
            'arm',
            overrides={
                'effort': 30.0,
                'ladder': [1.0, 30.0],
                'steps': 4500,
                'latent_dim': 64,
                'hidden_dim': 56,
            },
        )
    },
    draw=draw,
)
