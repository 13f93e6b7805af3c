"""Generated from the dynamics of `quadrotor_2d` by `trc_core/compile/codegen.py`."""

import math

from numba.extending import register_jitable

SIGNATURE = (6, 2, ('mass', 'arm', 'inertia', 'gravity'))


@register_jitable
def dynamics(x0, x1, x2, x3, x4, x5, u0, u1, mass, arm, inertia, gravity):
    s0 = 1/mass
    s1 = u0 + u1
    return (x3, x4, x5, -s0*s1*math.sin(x2), -gravity + s0*s1*math.cos(x2), arm*(-u0 + u1)/inertia)


@register_jitable
def jacobian(x0, x1, x2, x3, x4, x5, u0, u1, mass, arm, inertia, gravity):
    s0 = u0 + u1
    s1 = 1/mass
    s2 = s1*math.cos(x2)
    s3 = s1*math.sin(x2)
    s4 = -s3
    s5 = arm/inertia
    return (-s0*s2, s4, s4, -s0*s3, s2, s2, -s5, s5)


@register_jitable
def step(x, u, p, dt, x_next):
    x0 = x[0]
    x1 = x[1]
    x2 = x[2]
    x3 = x[3]
    x4 = x[4]
    x5 = x[5]
    u0 = u[0]
    u1 = u[1]
    mass = p[0]
    arm = p[1]
    inertia = p[2]
    gravity = p[3]
    k1_0, k1_1, k1_2, k1_3, k1_4, k1_5 = dynamics(x0, x1, x2, x3, x4, x5, u0, u1, mass, arm, inertia, gravity)
    y2_0 = x0 + 0.5 * dt * k1_0
    y2_1 = x1 + 0.5 * dt * k1_1
    y2_2 = x2 + 0.5 * dt * k1_2
    y2_3 = x3 + 0.5 * dt * k1_3
    y2_4 = x4 + 0.5 * dt * k1_4
    y2_5 = x5 + 0.5 * dt * k1_5
    k2_0, k2_1, k2_2, k2_3, k2_4, k2_5 = dynamics(y2_0, y2_1, y2_2, y2_3, y2_4, y2_5, u0, u1, mass, arm, inertia, gravity)
    y3_0 = x0 + 0.5 * dt * k2_0
    y3_1 = x1 + 0.5 * dt * k2_1
    y3_2 = x2 + 0.5 * dt * k2_2
    y3_3 = x3 + 0.5 * dt * k2_3
    y3_4 = x4 + 0.5 * dt * k2_4
    y3_5 = x5 + 0.5 * dt * k2_5
    k3_0, k3_1, k3_2, k3_3, k3_4, k3_5 = dynamics(y3_0, y3_1, y3_2, y3_3, y3_4, y3_5, u0, u1, mass, arm, inertia, gravity)
    y4_0 = x0 + dt * k3_0
    y4_1 = x1 + dt * k3_1
    y4_2 = x2 + dt * k3_2
    y4_3 = x3 + dt * k3_3
    y4_4 = x4 + dt * k3_4
    y4_5 = x5 + dt * k3_5
    k4_0, k4_1, k4_2, k4_3, k4_4, k4_5 = dynamics(y4_0, y4_1, y4_2, y4_3, y4_4, y4_5, u0, u1, mass, arm, inertia, gravity)
    x_next[0] = x0 + dt / 6.0 * (k1_0 + 2.0 * (k2_0 + k3_0) + k4_0)
    x_next[1] = x1 + dt / 6.0 * (k1_1 + 2.0 * (k2_1 + k3_1) + k4_1)
    x_next[2] = x2 + dt / 6.0 * (k1_2 + 2.0 * (k2_2 + k3_2) + k4_2)
    x_next[3] = x3 + dt / 6.0 * (k1_3 + 2.0 * (k2_3 + k3_3) + k4_3)
    x_next[4] = x4 + dt / 6.0 * (k1_4 + 2.0 * (k2_4 + k3_4) + k4_4)
    x_next[5] = x5 + dt / 6.0 * (k1_5 + 2.0 * (k2_5 + k3_5) + k4_5)


@register_jitable
def step_jacobian(x, u, p, dt, A, B):
    x0 = x[0]
    x1 = x[1]
    x2 = x[2]
    x3 = x[3]
    x4 = x[4]
    x5 = x[5]
    u0 = u[0]
    u1 = u[1]
    mass = p[0]
    arm = p[1]
    inertia = p[2]
    gravity = p[3]
    k1_0, k1_1, k1_2, k1_3, k1_4, k1_5 = dynamics(x0, x1, x2, x3, x4, x5, u0, u1, mass, arm, inertia, gravity)
    y2_0 = x0 + 0.5 * dt * k1_0
    y2_1 = x1 + 0.5 * dt * k1_1
    y2_2 = x2 + 0.5 * dt * k1_2
    y2_3 = x3 + 0.5 * dt * k1_3
    y2_4 = x4 + 0.5 * dt * k1_4
    y2_5 = x5 + 0.5 * dt * k1_5
    k2_0, k2_1, k2_2, k2_3, k2_4, k2_5 = dynamics(y2_0, y2_1, y2_2, y2_3, y2_4, y2_5, u0, u1, mass, arm, inertia, gravity)
    y3_0 = x0 + 0.5 * dt * k2_0
    y3_1 = x1 + 0.5 * dt * k2_1
    y3_2 = x2 + 0.5 * dt * k2_2
    y3_3 = x3 + 0.5 * dt * k2_3
    y3_4 = x4 + 0.5 * dt * k2_4
    y3_5 = x5 + 0.5 * dt * k2_5
    k3_0, k3_1, k3_2, k3_3, k3_4, k3_5 = dynamics(y3_0, y3_1, y3_2, y3_3, y3_4, y3_5, u0, u1, mass, arm, inertia, gravity)
    y4_0 = x0 + dt * k3_0
    y4_1 = x1 + dt * k3_1
    y4_2 = x2 + dt * k3_2
    y4_3 = x3 + dt * k3_3
    y4_4 = x4 + dt * k3_4
    y4_5 = x5 + dt * k3_5
    k4_0, k4_1, k4_2, k4_3, k4_4, k4_5 = dynamics(y4_0, y4_1, y4_2, y4_3, y4_4, y4_5, u0, u1, mass, arm, inertia, gravity)
    j1_3_2, j1_3_6, j1_3_7, j1_4_2, j1_4_6, j1_4_7, j1_5_6, j1_5_7 = jacobian(x0, x1, x2, x3, x4, x5, u0, u1, mass, arm, inertia, gravity)
    j2_3_2, j2_3_6, j2_3_7, j2_4_2, j2_4_6, j2_4_7, j2_5_6, j2_5_7 = jacobian(y2_0, y2_1, y2_2, y2_3, y2_4, y2_5, u0, u1, mass, arm, inertia, gravity)
    d2_0_2 = (1/2)*dt*j1_3_2
    d2_0_6 = (1/2)*dt*j1_3_6
    d2_0_7 = (1/2)*dt*j1_3_7
    d2_1_2 = (1/2)*dt*j1_4_2
    d2_1_6 = (1/2)*dt*j1_4_6
    d2_1_7 = (1/2)*dt*j1_4_7
    d2_2_6 = (1/2)*dt*j1_5_6
    d2_2_7 = (1/2)*dt*j1_5_7
    d2_3_5 = (1/2)*dt*j2_3_2
    d2_4_5 = (1/2)*dt*j2_4_2
    j3_3_2, j3_3_6, j3_3_7, j3_4_2, j3_4_6, j3_4_7, j3_5_6, j3_5_7 = jacobian(y3_0, y3_1, y3_2, y3_3, y3_4, y3_5, u0, u1, mass, arm, inertia, gravity)
    d3_0_2 = (1/2)*dt*j2_3_2
    d3_0_5 = (1/2)*d2_3_5*dt
    d3_0_6 = (1/2)*dt*j2_3_6
    d3_0_7 = (1/2)*dt*j2_3_7
    d3_1_2 = (1/2)*dt*j2_4_2
    d3_1_5 = (1/2)*d2_4_5*dt
    d3_1_6 = (1/2)*dt*j2_4_6
    d3_1_7 = (1/2)*dt*j2_4_7
    d3_2_6 = (1/2)*dt*j2_5_6
    d3_2_7 = (1/2)*dt*j2_5_7
    d3_3_5 = (1/2)*dt*j3_3_2
    d3_3_6 = (1/2)*d2_2_6*dt*j3_3_2 + j3_3_6
    d3_3_7 = (1/2)*d2_2_7*dt*j3_3_2 + j3_3_7
    d3_4_5 = (1/2)*dt*j3_4_2
    d3_4_6 = (1/2)*d2_2_6*dt*j3_4_2 + j3_4_6
    d3_4_7 = (1/2)*d2_2_7*dt*j3_4_2 + j3_4_7
    j4_3_2, j4_3_6, j4_3_7, j4_4_2, j4_4_6, j4_4_7, j4_5_6, j4_5_7 = jacobian(y4_0, y4_1, y4_2, y4_3, y4_4, y4_5, u0, u1, mass, arm, inertia, gravity)
    d4_0_2 = dt*j3_3_2
    d4_0_5 = d3_3_5*dt
    d4_0_6 = d3_3_6*dt
    d4_0_7 = d3_3_7*dt
    d4_1_2 = dt*j3_4_2
    d4_1_5 = d3_4_5*dt
    d4_1_6 = d3_4_6*dt
    d4_1_7 = d3_4_7*dt
    d4_2_6 = dt*j3_5_6
    d4_2_7 = dt*j3_5_7
    d4_3_5 = dt*j4_3_2
    d4_3_6 = d3_2_6*dt*j4_3_2 + j4_3_6
    d4_3_7 = d3_2_7*dt*j4_3_2 + j4_3_7
    d4_4_5 = dt*j4_4_2
    d4_4_6 = d3_2_6*dt*j4_4_2 + j4_4_6
    d4_4_7 = d3_2_7*dt*j4_4_2 + j4_4_7
    A[0, 0] = 1
    A[0, 1] = 0
    A[0, 2] = (1/6)*dt*(2*d2_0_2 + 2*d3_0_2 + d4_0_2)
    A[0, 3] = dt
    A[0, 4] = 0
    A[0, 5] = (1/6)*dt*(2*d3_0_5 + d4_0_5)
    B[0, 0] = (1/6)*dt*(2*d2_0_6 + 2*d3_0_6 + d4_0_6)
    B[0, 1] = (1/6)*dt*(2*d2_0_7 + 2*d3_0_7 + d4_0_7)
    A[1, 0] = 0
    A[1, 1] = 1
    A[1, 2] = (1/6)*dt*(2*d2_1_2 + 2*d3_1_2 + d4_1_2)
    A[1, 3] = 0
    A[1, 4] = dt
    A[1, 5] = (1/6)*dt*(2*d3_1_5 + d4_1_5)
    B[1, 0] = (1/6)*dt*(2*d2_1_6 + 2*d3_1_6 + d4_1_6)
    B[1, 1] = (1/6)*dt*(2*d2_1_7 + 2*d3_1_7 + d4_1_7)
    A[2, 0] = 0
    A[2, 1] = 0
    A[2, 2] = 1
    A[2, 3] = 0
    A[2, 4] = 0
    A[2, 5] = dt
    B[2, 0] = (1/6)*dt*(2*d2_2_6 + 2*d3_2_6 + d4_2_6)
    B[2, 1] = (1/6)*dt*(2*d2_2_7 + 2*d3_2_7 + d4_2_7)
    A[3, 0] = 0
    A[3, 1] = 0
    A[3, 2] = (1/6)*dt*(j1_3_2 + 2*j2_3_2 + 2*j3_3_2 + j4_3_2)
    A[3, 3] = 1
    A[3, 4] = 0
    A[3, 5] = (1/6)*dt*(2*d2_3_5 + 2*d3_3_5 + d4_3_5)
    B[3, 0] = (1/6)*dt*(2*d3_3_6 + d4_3_6 + j1_3_6 + 2*j2_3_6)
    B[3, 1] = (1/6)*dt*(2*d3_3_7 + d4_3_7 + j1_3_7 + 2*j2_3_7)
    A[4, 0] = 0
    A[4, 1] = 0
    A[4, 2] = (1/6)*dt*(j1_4_2 + 2*j2_4_2 + 2*j3_4_2 + j4_4_2)
    A[4, 3] = 0
    A[4, 4] = 1
    A[4, 5] = (1/6)*dt*(2*d2_4_5 + 2*d3_4_5 + d4_4_5)
    B[4, 0] = (1/6)*dt*(2*d3_4_6 + d4_4_6 + j1_4_6 + 2*j2_4_6)
    B[4, 1] = (1/6)*dt*(2*d3_4_7 + d4_4_7 + j1_4_7 + 2*j2_4_7)
    A[5, 0] = 0
    A[5, 1] = 0
    A[5, 2] = 0
    A[5, 3] = 0
    A[5, 4] = 0
    A[5, 5] = 1
    B[5, 0] = (1/6)*dt*(j1_5_6 + 2*j2_5_6 + 2*j3_5_6 + j4_5_6)
    B[5, 1] = (1/6)*dt*(j1_5_7 + 2*j2_5_7 + 2*j3_5_7 + j4_5_7)
