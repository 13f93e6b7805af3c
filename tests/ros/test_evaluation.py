"""`trc evaluate --ros`: a bag is judged as what it holds, and both loops cost the same."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from trc_core import SYSTEMS, Controller
from trc_core.lab.report.bag import RecordedFlight, Signal, read_bag
from trc_core.numerics.cost import trajectory_cost
from trc_core.solvers import ilqr
from trc_ros.lab import over_ros as evaluation

RATE = 0.01  # [s] between two states of the made-up bag
EPOCH = 1_700_000_000.0  # [s]
WAITED = 3  # states at the start before the first command


def recorded(system, plan, before):
    """A bag of `before` seconds at rest elsewhere, then at the start, then the plan is flown."""
    parts = round(system.dt / RATE)
    x, states, times, commands = plan.states[0], [], [], []
    rest = round(before / RATE)
    for i in range(rest):
        waits = i >= rest - WAITED
        states.append(plan.states[0] + (0.0 if waits else 5.0))
        times.append(i * RATE)
    for k, u in enumerate(plan.controls):
        commands.append(before + k * system.dt)
        for i in range(parts):
            states.append(x)
            times.append(before + k * system.dt + i * RATE)
            x = system.step(x, u, RATE)
    states.append(x)
    times.append(before + len(plan.controls) * system.dt)
    signal = Signal(np.array(times), np.array(states))
    nothing = Signal(np.zeros(0), np.zeros((0, system.n_x)))
    flown = Signal(np.array(commands), plan.controls)
    return RecordedFlight('made up', system, EPOCH, signal, nothing, flown, [])


@pytest.mark.parametrize('name', ['van_der_pol', 'quadrotor_2d'])
def test_a_recorded_plan_costs_what_the_plan_says(name):
    system = SYSTEMS[name]
    (x0,), (goal,) = system.sample(np.random.default_rng(0), 1)
    plan = ilqr.solve(system, x0, goal)
    flight = recorded(system, plan, before=0.3)
    ticks = system.horizon
    states, flown = evaluation.evaluate_flight(flight, x0, goal, EPOCH, ticks)
    np.testing.assert_allclose(states, plan.states, atol=1e-4)
    assert flown.cost == pytest.approx(plan.cost, rel=1e-4)
    counted = trajectory_cost(system, states, plan.controls, goal)
    assert flown.cost == pytest.approx(counted, rel=1e-6)
    assert not flown.fallen
    with pytest.raises(ValueError, match='the bag ends before the flight'):
        evaluation.evaluate_flight(flight, x0, goal, EPOCH, ticks + 1)
    with pytest.raises(ValueError, match='holds no state'):
        evaluation.evaluate_flight(flight, x0, goal, EPOCH + 1e4, ticks)


def test_flights_that_differ_do_not_agree():
    good, bad = np.array([1.0, 1.02]), np.array([1.0, 1.2])
    ones, fallen, held = np.ones(2), np.array([True, True]), np.array([True, False])
    assert evaluation.Agreement('x', ones, good, fallen, held).agrees
    disagreement = evaluation.Agreement('x', ones, bad, fallen, held)
    assert not disagreement.agrees and 'within 3%: no' in str(disagreement)
    assert '2 fallen, 1 not held' in str(disagreement)


@pytest.mark.long
def test_the_loop_over_dds_costs_what_it_costs_in_process(tmp_path):
    name = 'double_integrator'
    controller = Controller.load(name)
    x0, goal = np.array([[1.5, -0.5]]), np.array([[0.0, 0.0]])
    found = evaluation.evaluate(name, controller, name, x0, goal, tmp_path, horizons=1.0)
    # a loaded machine may be late; a plant that nobody steers costs ten times as much
    assert found.ratios == pytest.approx(1.0, abs=0.15)
    assert found.held.all() and not found.fallen.any()
    (flight,) = read_bag(tmp_path / 'bag')
    assert len(flight.horizons) > 10
    assert (tmp_path / 'report.html').read_text().count('<img') == 2
    with pytest.raises(ValueError, match='holds a bag already'):
        evaluation.evaluate(name, controller, name, x0, goal, tmp_path)
