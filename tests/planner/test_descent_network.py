"""The network of a powered descent flies as it was trained."""

import numpy as np
import pytest
import torch

from trc_core.compile.kernels import compiled
from trc_core.models.descent import DescentDynamics, DescentRepresentation
from trc_core.models.persistence import checkpoint_of
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.network_config import TRCConfig
from trc_core.numerics.descent import DIRECTION, NUMBERS, TIME, Descent, enter_frame, unfold
from trc_core.numerics.free_time.flights import Solver
from trc_core.numerics.free_time.timed import DT
from trc_core.planner.descent_kernels import propose_descent
from trc_core.planner.network import network_of
from trc_core.systems.rocket_landing import rocket_landing

CYCLES = 2


def random_model():
    """A network with random weights, whose cycles change plans visibly."""
    torch.manual_seed(0)
    centre = np.zeros(NUMBERS)
    centre[2 * DIRECTION], centre[TIME] = 1.0, np.log(60.0)
    descent = Descent.blank(rocket_landing)._replace(
        centre=centre,
        spread=np.full(NUMBERS, 0.1),
        middle=np.array([5000.0, 3000.0, 0.0, 50.0, 0.0, 2500.0]),
        width=np.array([3000.0, 1500.0, 60.0, 30.0, 60.0, 700.0]),
    )
    config = TRCConfig(
        state_dim=7,
        control_dim=1,
        control_horizon=NUMBERS,
        control_bounds=1.0,
        latent_dim=16,
        hidden_dim=16,
        num_heads=0,
        use_two_level=True,
        H_cycles=CYCLES,
        L_cycles=1,
        L_layers=1,
        feedback=['terminal', 'gradient'],
    )
    model = TinyRecursiveControl(config, DescentRepresentation(descent))
    for decoder in (model.initial_generator, model.control_decoder):
        torch.nn.init.normal_(decoder.output.weight, std=0.3)
    return model.eval()


@pytest.mark.long
def test_compiled_cycles_write_the_plan_of_the_pytorch_model():
    model, system = random_model(), rocket_landing
    dynamics, solver = DescentDynamics(model.representation, system), Solver(system)
    net, descent = network_of(checkpoint_of(model, system)), dynamics.descent
    propose, enter = compiled(propose_descent), compiled(enter_frame)
    x0 = np.array([2000.0, -1500.0, 2500.0, 40.0, -20.0, -60.0, 2200.0])
    inside, flight, expected = np.empty(7), solver.room(), np.empty((system.horizon, 3))
    enter(x0, inside)
    state = torch.from_numpy(inside[None])
    with torch.no_grad():
        plans = [p.v for p, _ in model.refine(state, torch.zeros_like(state), dynamics)]
    assert (plans[-1] - plans[0]).abs().max() > 0.1
    propose(dynamics.plant, descent, net, CYCLES, inside, flight)
    o = plans[-1][0, :, 0].double().numpy()
    seconds = compiled(unfold)(descent, o, expected)
    assert np.abs(flight.u - expected).max() < 1e-3 * descent.high
    assert abs(flight.numbers[DT] * len(flight.u) / seconds - 1.0) < 1e-4
    assert np.array_equal(flight.x[0], inside)


@pytest.mark.long
def test_a_turned_and_mirrored_state_gets_the_plan_turned_and_mirrored():
    model, system = random_model(), rocket_landing
    dynamics, solver = DescentDynamics(model.representation, system), Solver(system)
    net, propose = network_of(checkpoint_of(model, system)), compiled(propose_descent)
    c, s = np.cos(2.0), np.sin(2.0)
    M = np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, 1.0]])  # turns, and mirrors
    x0 = np.array([2000.0, -1500.0, 2500.0, 40.0, -20.0, -60.0, 2200.0])
    moved = np.concatenate([M @ x0[:3], M @ x0[3:6], x0[6:]])
    flights = solver.room(), solver.room()
    for x, flight in zip((x0, moved), flights, strict=True):
        propose(dynamics.plant, dynamics.descent, net, CYCLES, x, flight)
    one, other = flights
    assert np.abs(one.u @ M.T - other.u).max() < 1e-3 * dynamics.descent.high
    assert abs(one.u - other.u).max() > 0.1 * dynamics.descent.high
