"""The Van der Pol oscillator with a force: self-excited inside its limit cycle."""

from trc_core.problem.system import Joint, System
from trc_core.systems.shipped import Recipe, ShippedSystem


def dynamics(x, u, mu):
    """P'' = mu (1 - p^2) p' - p + u."""
    p, v = x
    return [v, mu * (1 - p**2) * v - p + u[0]]


van_der_pol = System(
    name='van_der_pol',
    dynamics=dynamics,
    state_names=('position', 'velocity'),
    state_units=('1', '1/s'),
    control_names=('force',),
    control_units=('1/s^2',),
    joints=(Joint('oscillator', position=0, velocity=1, effort=0),),
    dt=0.05,
    horizon=100,
    u_min=[-2.0],
    u_max=[2.0],
    Q=[10.0, 5.0],
    R=[0.1],
    x0_box=[2.0, 2.0],
    goal_box=[0.0, 0.0],
    goal_tolerance=[0.1] * 2,
    parameters={'mu': 1.0},
)

shipped = ShippedSystem(
    van_der_pol,
    recipes={
        'van_der_pol': Recipe('van_der_pol', overrides={'steps': 2000}),
        'van_der_pol_mu': Recipe(
            'van_der_pol', overrides={'steps': 3000, 'ranges': {'mu': [0.5, 1.5]}}
        ),
        'van_der_pol_weights': Recipe(
            'van_der_pol',
            overrides={
                'steps': 5000,
                'ranges': {name: [0.1, 10.0] for name in ('Q', 'R', 'Q_f')},
                'ladder': [1.0, 3.0, 10.0, 30.0, 100.0],  # the LQR of a small R saturates
            },
        ),
    },
)
