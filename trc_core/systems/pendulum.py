"""A pendulum with a motor too weak to lift it: it has to be swung up."""

from numpy import sin

from trc_core.problem.system import Joint, System
from trc_core.systems.shipped import Body, Part, Recipe, ShippedSystem


def dynamics(x, u, gravity, damping):
    """theta'' = gravity sin(theta) - damping theta' + u, with mass and length 1, 0 upright."""
    angle, rate = x
    return [rate, gravity * sin(angle) - damping * rate + u[0]]


pendulum = System(
    name='pendulum',
    dynamics=dynamics,
    state_names=('angle', 'rate'),
    state_units=('rad', 'rad/s'),
    control_names=('torque',),
    control_units=('N m',),
    joints=(Joint('pivot', position=0, velocity=1, effort=0),),
    dt=0.05,
    horizon=80,
    u_min=[-5.0],
    u_max=[5.0],
    Q=[10.0, 1.0],
    R=[0.1],
    x0_box=[3.141592653589793, 1.0],
    goal_box=[0.0, 0.0],
    goal_tolerance=[0.1] * 2,
    parameters={'gravity': 9.81, 'damping': 0.1},
)

shipped = ShippedSystem(
    pendulum,
    recipes={
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
        )
    },
    pose_axes=('pitch',),
    body=Body((Part((0.04, 0.04, 1.0), centre=(0.0, 0.0, 0.5)),), tip=(0.0, 0.0, 1.0)),
)
