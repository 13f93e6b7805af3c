"""Generated from the dynamics of `pendulum` by `trc_core/compile/codegen.py`."""

import math

from numba.extending import register_jitable

SIGNATURE = (2, 1, ('gravity', 'damping'))


@register_jitable
def dynamics(x0, x1, u0, gravity, damping):
    return (x1, -damping*x1 + gravity*math.sin(x0) + u0)


@register_jitable
def jacobian(x0, x1, u0, gravity, damping):
    return (gravity*math.cos(x0), -damping)


@register_jitable
def step(x, u, p, dt, x_next):
    x0 = x[0]
    x1 = x[1]
    u0 = u[0]
    gravity = p[0]
    damping = p[1]
    k1_0, k1_1 = dynamics(x0, x1, u0, gravity, damping)
    y2_0 = x0 + 0.5 * dt * k1_0
    y2_1 = x1 + 0.5 * dt * k1_1
    k2_0, k2_1 = dynamics(y2_0, y2_1, u0, gravity, damping)
    y3_0 = x0 + 0.5 * dt * k2_0
    y3_1 = x1 + 0.5 * dt * k2_1
    k3_0, k3_1 = dynamics(y3_0, y3_1, u0, gravity, damping)
    y4_0 = x0 + dt * k3_0
    y4_1 = x1 + dt * k3_1
    k4_0, k4_1 = dynamics(y4_0, y4_1, u0, gravity, damping)
    x_next[0] = x0 + dt / 6.0 * (k1_0 + 2.0 * (k2_0 + k3_0) + k4_0)
    x_next[1] = x1 + dt / 6.0 * (k1_1 + 2.0 * (k2_1 + k3_1) + k4_1)


@register_jitable
def step_jacobian(x, u, p, dt, A, B):
    x0 = x[0]
    x1 = x[1]
    u0 = u[0]
    gravity = p[0]
    damping = p[1]
    k1_0, k1_1 = dynamics(x0, x1, u0, gravity, damping)
    y2_0 = x0 + 0.5 * dt * k1_0
    y2_1 = x1 + 0.5 * dt * k1_1
    k2_0, k2_1 = dynamics(y2_0, y2_1, u0, gravity, damping)
    y3_0 = x0 + 0.5 * dt * k2_0
    y3_1 = x1 + 0.5 * dt * k2_1
    k3_0, k3_1 = dynamics(y3_0, y3_1, u0, gravity, damping)
    y4_0 = x0 + dt * k3_0
    y4_1 = x1 + dt * k3_1
    k4_0, k4_1 = dynamics(y4_0, y4_1, u0, gravity, damping)
    j1_1_0, j1_1_1 = jacobian(x0, x1, u0, gravity, damping)
    j2_1_0, j2_1_1 = jacobian(y2_0, y2_1, u0, gravity, damping)
    d2_0_0 = (1/2)*dt*j1_1_0
    d2_0_1 = (1/2)*dt*j1_1_1 + 1
    d2_0_2 = (1/2)*dt
    d2_1_0 = (1/2)*dt*j1_1_0*j2_1_1 + j2_1_0
    d2_1_1 = (1/2)*dt*j1_1_1*j2_1_1 + (1/2)*dt*j2_1_0 + j2_1_1
    d2_1_2 = (1/2)*dt*j2_1_1 + 1
    j3_1_0, j3_1_1 = jacobian(y3_0, y3_1, u0, gravity, damping)
    d3_0_0 = (1/2)*d2_1_0*dt
    d3_0_1 = (1/2)*d2_1_1*dt + 1
    d3_0_2 = (1/2)*d2_1_2*dt
    d3_1_0 = (1/2)*d2_0_0*dt*j3_1_0 + (1/2)*d2_1_0*dt*j3_1_1 + j3_1_0
    d3_1_1 = (1/2)*d2_0_1*dt*j3_1_0 + (1/2)*d2_1_1*dt*j3_1_1 + j3_1_1
    d3_1_2 = (1/2)*d2_0_2*dt*j3_1_0 + (1/2)*d2_1_2*dt*j3_1_1 + 1
    j4_1_0, j4_1_1 = jacobian(y4_0, y4_1, u0, gravity, damping)
    d4_0_0 = d3_1_0*dt
    d4_0_1 = d3_1_1*dt + 1
    d4_0_2 = d3_1_2*dt
    d4_1_0 = d3_0_0*dt*j4_1_0 + d3_1_0*dt*j4_1_1 + j4_1_0
    d4_1_1 = d3_0_1*dt*j4_1_0 + d3_1_1*dt*j4_1_1 + j4_1_1
    d4_1_2 = d3_0_2*dt*j4_1_0 + d3_1_2*dt*j4_1_1 + 1
    A[0, 0] = (1/6)*dt*(2*d2_0_0 + 2*d3_0_0 + d4_0_0) + 1
    A[0, 1] = (1/6)*dt*(2*d2_0_1 + 2*d3_0_1 + d4_0_1 + 1)
    B[0, 0] = (1/6)*dt*(2*d2_0_2 + 2*d3_0_2 + d4_0_2)
    A[1, 0] = (1/6)*dt*(2*d2_1_0 + 2*d3_1_0 + d4_1_0 + j1_1_0)
    A[1, 1] = (1/6)*dt*(2*d2_1_1 + 2*d3_1_1 + d4_1_1 + j1_1_1) + 1
    B[1, 0] = (1/6)*dt*(2*d2_1_2 + 2*d3_1_2 + d4_1_2 + 1)
