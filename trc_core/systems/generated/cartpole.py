"""Generated from the dynamics of `cartpole` by `trc_core/compile/codegen.py`."""

import math

from numba.extending import register_jitable

SIGNATURE = (4, 1, ('gravity', 'cart_mass', 'pole_mass', 'half_length'))


@register_jitable
def dynamics(x0, x1, x2, x3, u0, gravity, cart_mass, pole_mass, half_length):
    s0 = 1/(cart_mass + pole_mass)
    s1 = math.sin(x2)
    s2 = half_length*pole_mass*s1*x3**2 + u0
    s3 = math.cos(x2)
    s4 = pole_mass*s0
    s5 = (gravity*s1 - s0*s2*s3)/(-s3**2*s4 + 4/3)
    return (x1, s0*s2 - s3*s4*s5, x3, s5/half_length)


@register_jitable
def jacobian(x0, x1, x2, x3, u0, gravity, cart_mass, pole_mass, half_length):
    s0 = half_length*x3**2
    s1 = math.cos(x2)
    s2 = cart_mass + pole_mass
    s3 = 1/s2
    s4 = s1*s3
    s5 = pole_mass*s4
    s6 = s1**2
    s7 = pole_mass*s6
    s8 = s3*s7
    s9 = 4/3 - s8
    s10 = 1/s9
    s11 = math.sin(x2)
    s12 = pole_mass*s11
    s13 = s3*(s0*s12 + u0)
    s14 = gravity*s11 - s1*s13
    s15 = s12*s3
    s16 = s2**(-2)
    s17 = pole_mass**2*s11*s6
    s18 = 2*s14/s9**2
    s19 = gravity*s1 - s0*s8 + s11*s13
    s20 = 2*x3
    s21 = half_length*s20
    s22 = s10*s16
    s23 = 1/half_length
    s24 = s12*s4
    return (s0*s5 + s10*s14*s15 - s10*s19*s5 + s16*s17*s18, s15*s21 + s17*s21*s22, s22*s7 + s3, s10*s19*s23 - s18*s23*s24, -s10*s20*s24, -s10*s23*s4)


@register_jitable
def step(x, u, p, dt, x_next):
    x0 = x[0]
    x1 = x[1]
    x2 = x[2]
    x3 = x[3]
    u0 = u[0]
    gravity = p[0]
    cart_mass = p[1]
    pole_mass = p[2]
    half_length = p[3]
    k1_0, k1_1, k1_2, k1_3 = dynamics(x0, x1, x2, x3, u0, gravity, cart_mass, pole_mass, half_length)
    y2_0 = x0 + 0.5 * dt * k1_0
    y2_1 = x1 + 0.5 * dt * k1_1
    y2_2 = x2 + 0.5 * dt * k1_2
    y2_3 = x3 + 0.5 * dt * k1_3
    k2_0, k2_1, k2_2, k2_3 = dynamics(y2_0, y2_1, y2_2, y2_3, u0, gravity, cart_mass, pole_mass, half_length)
    y3_0 = x0 + 0.5 * dt * k2_0
    y3_1 = x1 + 0.5 * dt * k2_1
    y3_2 = x2 + 0.5 * dt * k2_2
    y3_3 = x3 + 0.5 * dt * k2_3
    k3_0, k3_1, k3_2, k3_3 = dynamics(y3_0, y3_1, y3_2, y3_3, u0, gravity, cart_mass, pole_mass, half_length)
    y4_0 = x0 + dt * k3_0
    y4_1 = x1 + dt * k3_1
    y4_2 = x2 + dt * k3_2
    y4_3 = x3 + dt * k3_3
    k4_0, k4_1, k4_2, k4_3 = dynamics(y4_0, y4_1, y4_2, y4_3, u0, gravity, cart_mass, pole_mass, half_length)
    x_next[0] = x0 + dt / 6.0 * (k1_0 + 2.0 * (k2_0 + k3_0) + k4_0)
    x_next[1] = x1 + dt / 6.0 * (k1_1 + 2.0 * (k2_1 + k3_1) + k4_1)
    x_next[2] = x2 + dt / 6.0 * (k1_2 + 2.0 * (k2_2 + k3_2) + k4_2)
    x_next[3] = x3 + dt / 6.0 * (k1_3 + 2.0 * (k2_3 + k3_3) + k4_3)


@register_jitable
def step_jacobian(x, u, p, dt, A, B):
    x0 = x[0]
    x1 = x[1]
    x2 = x[2]
    x3 = x[3]
    u0 = u[0]
    gravity = p[0]
    cart_mass = p[1]
    pole_mass = p[2]
    half_length = p[3]
    k1_0, k1_1, k1_2, k1_3 = dynamics(x0, x1, x2, x3, u0, gravity, cart_mass, pole_mass, half_length)
    y2_0 = x0 + 0.5 * dt * k1_0
    y2_1 = x1 + 0.5 * dt * k1_1
    y2_2 = x2 + 0.5 * dt * k1_2
    y2_3 = x3 + 0.5 * dt * k1_3
    k2_0, k2_1, k2_2, k2_3 = dynamics(y2_0, y2_1, y2_2, y2_3, u0, gravity, cart_mass, pole_mass, half_length)
    y3_0 = x0 + 0.5 * dt * k2_0
    y3_1 = x1 + 0.5 * dt * k2_1
    y3_2 = x2 + 0.5 * dt * k2_2
    y3_3 = x3 + 0.5 * dt * k2_3
    k3_0, k3_1, k3_2, k3_3 = dynamics(y3_0, y3_1, y3_2, y3_3, u0, gravity, cart_mass, pole_mass, half_length)
    y4_0 = x0 + dt * k3_0
    y4_1 = x1 + dt * k3_1
    y4_2 = x2 + dt * k3_2
    y4_3 = x3 + dt * k3_3
    k4_0, k4_1, k4_2, k4_3 = dynamics(y4_0, y4_1, y4_2, y4_3, u0, gravity, cart_mass, pole_mass, half_length)
    j1_1_2, j1_1_3, j1_1_4, j1_3_2, j1_3_3, j1_3_4 = jacobian(x0, x1, x2, x3, u0, gravity, cart_mass, pole_mass, half_length)
    j2_1_2, j2_1_3, j2_1_4, j2_3_2, j2_3_3, j2_3_4 = jacobian(y2_0, y2_1, y2_2, y2_3, u0, gravity, cart_mass, pole_mass, half_length)
    d2_0_2 = (1/2)*dt*j1_1_2
    d2_0_3 = (1/2)*dt*j1_1_3
    d2_0_4 = (1/2)*dt*j1_1_4
    d2_1_2 = (1/2)*dt*j1_3_2*j2_1_3 + j2_1_2
    d2_1_3 = (1/2)*dt*j1_3_3*j2_1_3 + (1/2)*dt*j2_1_2 + j2_1_3
    d2_1_4 = (1/2)*dt*j1_3_4*j2_1_3 + j2_1_4
    d2_2_2 = (1/2)*dt*j1_3_2
    d2_2_3 = (1/2)*dt*j1_3_3 + 1
    d2_2_4 = (1/2)*dt*j1_3_4
    d2_3_2 = (1/2)*dt*j1_3_2*j2_3_3 + j2_3_2
    d2_3_3 = (1/2)*dt*j1_3_3*j2_3_3 + (1/2)*dt*j2_3_2 + j2_3_3
    d2_3_4 = (1/2)*dt*j1_3_4*j2_3_3 + j2_3_4
    j3_1_2, j3_1_3, j3_1_4, j3_3_2, j3_3_3, j3_3_4 = jacobian(y3_0, y3_1, y3_2, y3_3, u0, gravity, cart_mass, pole_mass, half_length)
    d3_0_2 = (1/2)*d2_1_2*dt
    d3_0_3 = (1/2)*d2_1_3*dt
    d3_0_4 = (1/2)*d2_1_4*dt
    d3_1_2 = (1/2)*d2_2_2*dt*j3_1_2 + (1/2)*d2_3_2*dt*j3_1_3 + j3_1_2
    d3_1_3 = (1/2)*d2_2_3*dt*j3_1_2 + (1/2)*d2_3_3*dt*j3_1_3 + j3_1_3
    d3_1_4 = (1/2)*d2_2_4*dt*j3_1_2 + (1/2)*d2_3_4*dt*j3_1_3 + j3_1_4
    d3_2_2 = (1/2)*d2_3_2*dt
    d3_2_3 = (1/2)*d2_3_3*dt + 1
    d3_2_4 = (1/2)*d2_3_4*dt
    d3_3_2 = (1/2)*d2_2_2*dt*j3_3_2 + (1/2)*d2_3_2*dt*j3_3_3 + j3_3_2
    d3_3_3 = (1/2)*d2_2_3*dt*j3_3_2 + (1/2)*d2_3_3*dt*j3_3_3 + j3_3_3
    d3_3_4 = (1/2)*d2_2_4*dt*j3_3_2 + (1/2)*d2_3_4*dt*j3_3_3 + j3_3_4
    j4_1_2, j4_1_3, j4_1_4, j4_3_2, j4_3_3, j4_3_4 = jacobian(y4_0, y4_1, y4_2, y4_3, u0, gravity, cart_mass, pole_mass, half_length)
    d4_0_2 = d3_1_2*dt
    d4_0_3 = d3_1_3*dt
    d4_0_4 = d3_1_4*dt
    d4_1_2 = d3_2_2*dt*j4_1_2 + d3_3_2*dt*j4_1_3 + j4_1_2
    d4_1_3 = d3_2_3*dt*j4_1_2 + d3_3_3*dt*j4_1_3 + j4_1_3
    d4_1_4 = d3_2_4*dt*j4_1_2 + d3_3_4*dt*j4_1_3 + j4_1_4
    d4_2_2 = d3_3_2*dt
    d4_2_3 = d3_3_3*dt + 1
    d4_2_4 = d3_3_4*dt
    d4_3_2 = d3_2_2*dt*j4_3_2 + d3_3_2*dt*j4_3_3 + j4_3_2
    d4_3_3 = d3_2_3*dt*j4_3_2 + d3_3_3*dt*j4_3_3 + j4_3_3
    d4_3_4 = d3_2_4*dt*j4_3_2 + d3_3_4*dt*j4_3_3 + j4_3_4
    A[0, 0] = 1
    A[0, 1] = dt
    A[0, 2] = (1/6)*dt*(2*d2_0_2 + 2*d3_0_2 + d4_0_2)
    A[0, 3] = (1/6)*dt*(2*d2_0_3 + 2*d3_0_3 + d4_0_3)
    B[0, 0] = (1/6)*dt*(2*d2_0_4 + 2*d3_0_4 + d4_0_4)
    A[1, 0] = 0
    A[1, 1] = 1
    A[1, 2] = (1/6)*dt*(2*d2_1_2 + 2*d3_1_2 + d4_1_2 + j1_1_2)
    A[1, 3] = (1/6)*dt*(2*d2_1_3 + 2*d3_1_3 + d4_1_3 + j1_1_3)
    B[1, 0] = (1/6)*dt*(2*d2_1_4 + 2*d3_1_4 + d4_1_4 + j1_1_4)
    A[2, 0] = 0
    A[2, 1] = 0
    A[2, 2] = (1/6)*dt*(2*d2_2_2 + 2*d3_2_2 + d4_2_2) + 1
    A[2, 3] = (1/6)*dt*(2*d2_2_3 + 2*d3_2_3 + d4_2_3 + 1)
    B[2, 0] = (1/6)*dt*(2*d2_2_4 + 2*d3_2_4 + d4_2_4)
    A[3, 0] = 0
    A[3, 1] = 0
    A[3, 2] = (1/6)*dt*(2*d2_3_2 + 2*d3_3_2 + d4_3_2 + j1_3_2)
    A[3, 3] = (1/6)*dt*(2*d2_3_3 + 2*d3_3_3 + d4_3_3 + j1_3_3) + 1
    B[3, 0] = (1/6)*dt*(2*d2_3_4 + 2*d3_3_4 + d4_3_4 + j1_3_4)
