"""Generated from the dynamics of `double_integrator` by `trc_core/compile/codegen.py`."""

from numba.extending import register_jitable

SIGNATURE = (2, 1, ())


@register_jitable
def dynamics(x0, x1, u0):
    return (x1, u0)


@register_jitable
def step(x, u, p, dt, x_next):
    x0 = x[0]
    x1 = x[1]
    u0 = u[0]
    k1_0, k1_1 = dynamics(x0, x1, u0)
    y2_0 = x0 + 0.5 * dt * k1_0
    y2_1 = x1 + 0.5 * dt * k1_1
    k2_0, k2_1 = dynamics(y2_0, y2_1, u0)
    y3_0 = x0 + 0.5 * dt * k2_0
    y3_1 = x1 + 0.5 * dt * k2_1
    k3_0, k3_1 = dynamics(y3_0, y3_1, u0)
    y4_0 = x0 + dt * k3_0
    y4_1 = x1 + dt * k3_1
    k4_0, k4_1 = dynamics(y4_0, y4_1, u0)
    x_next[0] = x0 + dt / 6.0 * (k1_0 + 2.0 * (k2_0 + k3_0) + k4_0)
    x_next[1] = x1 + dt / 6.0 * (k1_1 + 2.0 * (k2_1 + k3_1) + k4_1)


@register_jitable
def step_jacobian(x, u, p, dt, A, B):
    x0 = x[0]
    x1 = x[1]
    u0 = u[0]
    k1_0, k1_1 = dynamics(x0, x1, u0)
    y2_0 = x0 + 0.5 * dt * k1_0
    y2_1 = x1 + 0.5 * dt * k1_1
    k2_0, k2_1 = dynamics(y2_0, y2_1, u0)
    y3_0 = x0 + 0.5 * dt * k2_0
    y3_1 = x1 + 0.5 * dt * k2_1
    k3_0, k3_1 = dynamics(y3_0, y3_1, u0)
    y4_0 = x0 + dt * k3_0
    y4_1 = x1 + dt * k3_1
    k4_0, k4_1 = dynamics(y4_0, y4_1, u0)
    d2_0_2 = (1/2)*dt
    d3_0_2 = (1/2)*dt
    A[0, 0] = 1
    A[0, 1] = dt
    B[0, 0] = (1/6)*dt*(2*d2_0_2 + 2*d3_0_2 + dt)
    A[1, 0] = 0
    A[1, 1] = 1
    B[1, 0] = dt
