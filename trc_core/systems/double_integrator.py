"""A mass on a line (or on several independent axes), pushed by its acceleration."""

from dataclasses import replace

from trc_core.problem.system import Joint, System
from trc_core.systems.shipped import Recipe, ShippedSystem


def dynamics(x, u):
    """X'' = u on every axis; RK4 is the exact hold of this polynomial system."""
    axes = len(u)
    return [*x[axes:], *u]


def multi_axis(axes: int) -> System:
    """`double_integrator` on several axes: x = (positions, velocities), u = accelerations."""
    if axes < 1:
        raise ValueError(f'axes is {axes}, expected at least 1')
    suffix = [f'_{i}' for i in range(axes)] if axes > 1 else ['']
    return System(
        name='double_integrator' if axes == 1 else f'double_integrator_{axes}_axes',
        dynamics=dynamics,
        state_names=(*(f'position{s}' for s in suffix), *(f'velocity{s}' for s in suffix)),
        state_units=('m',) * axes + ('m/s',) * axes,
        control_names=tuple(f'acceleration{s}' for s in suffix),
        control_units=('m/s^2',) * axes,
        joints=tuple(Joint(f'slider{s}', i, axes + i, i) for i, s in enumerate(suffix)),
        dt=5.0 / 15,
        horizon=15,
        u_min=[-4.0] * axes,
        u_max=[4.0] * axes,
        Q=[10.0] * axes + [5.0] * axes,
        R=[0.1] * axes,
        x0_box=[2.0] * (2 * axes),
        goal_box=[2.0] * axes + [0.0] * axes,
        goal_tolerance=[0.1] * (2 * axes),
    )


double_integrator = multi_axis(1)

shipped = ShippedSystem(
    double_integrator,
    recipes={'double_integrator': Recipe('double_integrator', overrides={'steps': 300})},
    pose_axes=('x',),
)


def with_timing(system: System, time_horizon: float, num_steps: int) -> System:
    """A system planned over `time_horizon` seconds in `num_steps` steps."""
    if time_horizon <= 0 or num_steps < 1:
        raise ValueError('time_horizon and num_steps must be positive')
    return replace(system, dt=time_horizon / num_steps, horizon=num_steps)
