"""The network of a powered descent in flight: K cycles on the 40 numbers of `numerics/descent.py`.

Plain Python that Numba compiles. The network is that of `network_kernels.py`; it reads and writes
what `models/descent.py` lets it read and write in training.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.descent import (
    NUMBERS,
    READ,
    bounded,
    enter_frame,
    read_start,
    turn_out,
    unfold,
)
from trc_core.numerics.descent_lagrangian import see
from trc_core.numerics.free_time.timed import DT
from trc_core.planner.canonical_kernels import no_members
from trc_core.planner.feature_kernels import Features
from trc_core.planner.network_kernels import Latents, encode, propose


@register_jitable
def propose_descent(plant, descent, net, cycles, x0, flight):
    """Fills x[0], the thrusts [N] and the duration of a step that a network proposes.

    Args:
        plant: `Timed`.
        descent: the coordinates.
        net: the network.
        cycles: of refinement.
        x0: state (7,) to begin from.
        flight: to be filled.
    """
    inside, read, u = flight.x[0], np.empty(READ), flight.u
    frame = enter_frame(x0, inside)
    read_start(descent, inside, read)
    o = reason_about(plant, descent, net, cycles, read.astype(np.float32), flight)
    flight.numbers[DT] = unfold(descent, o, u) / u.shape[0]
    for t in range(u.shape[0]):
        turn_out(frame, u[t], u[t])
    for i in range(x0.shape[0]):
        inside[i] = x0[i]


@register_jitable
def reason_about(plant, descent, net, cycles, read, flight):
    """The dimensionless numbers (NUMBERS,) after so many cycles, of the problem at x[0]."""
    latent = net.H_init.shape[0]
    z_initial, output = np.empty(latent, np.float32), np.empty(NUMBERS, np.float32)
    latents = Latents(np.empty(latent, np.float32), np.empty(latent, np.float32))
    encode(net, read, no_members(), z_initial, latents, output)
    o, states = np.zeros(NUMBERS), flight.x.shape[1]
    for i in range(NUMBERS):
        o[i] = bounded(output[i])
    margins, terminal, slope = np.empty(NUMBERS), np.empty(states), np.empty(NUMBERS)
    seen = Features(
        np.empty(2 * NUMBERS, np.float32),
        np.empty(states + NUMBERS, np.float32),
        np.empty((NUMBERS, 1)),
    )
    for _ in range(cycles):
        see(plant, descent, o, flight, margins, terminal, slope)
        for i in range(NUMBERS):
            seen.plan[i], seen.plan[NUMBERS + i] = o[i], margins[i]
            seen.consequences[states + i] = math.asinh(slope[i])
            seen.slope[i, 0] = slope[i]
        for i in range(states):
            seen.consequences[i] = terminal[i]
        propose(net, seen, z_initial, latents, output)
        for i in range(NUMBERS):
            o[i] += bounded(output[i])
    return o
