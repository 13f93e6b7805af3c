"""Powered descents: coordinates, Lagrangian, network and the proof that one cannot land."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from trc_core.compile.kernels import compiled
from trc_core.models.descent import DescentDynamics, DescentRepresentation
from trc_core.numerics import descent as coordinates
from trc_core.numerics.descent import BARRIER, NUMBERS, PRICES, TIME, Descent
from trc_core.numerics.descent_lagrangian import Weights, batch_lagrangian
from trc_core.numerics.free_time.binding import timed_plant
from trc_core.numerics.free_time.flights import Solver
from trc_core.numerics.free_time.timed import COST, new_flight
from trc_core.solvers.descents import descents_nearby, solved_descents
from trc_core.systems.registry import why_impossible
from trc_core.systems.rocket_landing import EXHAUST, FULL, GRAVITY, rocket_landing
from trc_core.training.descent_numbers import numbers_of
from trc_core.training.descent_trainer import Lesson

STATE = np.array([3000.0, 0.0, 3000.0, 50.0, 20.0, -70.0, 2000.0])


@pytest.fixture(scope='module')
def descent():
    """Coordinates about a plan that thrusts upwards for a minute."""
    centre, spread = np.zeros(NUMBERS), np.full(NUMBERS, 0.3)
    centre[2 * coordinates.DIRECTION], centre[TIME] = 1.0, np.log(60.0)
    spread[PRICES : PRICES + 3] = 0.01
    return Descent.blank(rocket_landing)._replace(centre=centre, spread=spread)


def room():
    system = rocket_landing
    sizes = len(system.task.constraints), len(system.terminal)
    return new_flight(system.horizon, system.n_x, system.n_u, *sizes)


def valued(descent, o, weights):
    """The Lagrangian of one plan from `STATE`, its slope, and the last state."""
    value, slope, ends = np.empty(1), np.empty((1, NUMBERS)), np.empty((1, 7))
    kernel, plant = compiled(batch_lagrangian), timed_plant(rocket_landing)
    kernel(plant, descent, weights, STATE[None], o[None], room(), value, slope, ends)
    return value[0], slope[0], ends[0]


@pytest.fixture(scope='module')
def weights():
    rng = np.random.default_rng(1)
    n_h = len(rocket_landing.task.constraints)
    forces = np.abs(rng.normal(0.0, 0.01, (1, rocket_landing.horizon + 1, n_h)))
    return Weights(rng.normal(0.0, 0.1, (1, 6)), forces, 1e-4, 1e-2, 1e-4)


def test_the_numbers_unfold_to_thrusts_within_their_bounds_that_fly_as_the_plant_does(
    descent, weights
):
    o = np.random.default_rng(2).normal(0.0, 0.5, NUMBERS)
    u = np.empty((rocket_landing.horizon, 3))
    seconds = compiled(coordinates.unfold)(descent, o, u)
    size, x = np.linalg.norm(u, axis=1), STATE
    for thrust in u:
        x = rocket_landing.step(x, thrust, seconds / len(u))
    assert size.min() >= descent.low and size.max() <= descent.high and size.std() > 100.0
    assert np.allclose(valued(descent, o, weights)[2], x, rtol=1e-10)


def test_the_slope_of_the_lagrangian_is_that_of_differences(descent, weights):
    o = np.random.default_rng(3).normal(0.0, 0.3, NUMBERS)
    small = 1e-5 * np.eye(NUMBERS)
    both = [[valued(descent, o + s * e, weights)[0] for e in small[:PRICES]] for s in (1.0, -1.0)]
    differences = np.subtract(*both) / 2e-5
    _, slope, ends = valued(descent, o, weights)
    assert np.abs(slope[:PRICES] - differences).max() < 1e-6 * np.abs(slope).max()
    assert np.allclose(slope[PRICES:], descent.spread[PRICES:] * ends[:6])  # by the prices


def test_a_state_is_turned_and_mirrored_into_one_frame(descent):
    enter, leave = compiled(coordinates.enter_frame), compiled(coordinates.turn_out)
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    x = np.array([400.0, -900.0, 2000.0, 30.0, 10.0, -50.0, 1900.0])
    found = []
    for mirror in (1.0, -1.0):
        M = turn @ np.diag([1.0, mirror, 1.0])
        moved, inside, back = (
            np.concatenate([M @ x[:3], M @ x[3:6], x[6:]]),
            np.empty(7),
            np.empty(3),
        )
        frame = enter(moved, inside)
        leave(frame, inside[3:6], back)
        assert np.allclose(back, moved[3:6])
        found.append(inside)
    assert np.allclose(found[0], found[1])
    assert found[0][1] == pytest.approx(0.0, abs=1e-9) and found[0][4] >= 0.0


def fall_under_full_thrust(x):
    """The speed [m/s] at which a lander meets the ground that thrusts straight up; None: never.

    It is integrated, and ends where the lander stops falling.
    """

    def rates(t, y):
        return [y[1], FULL / (x[6] - FULL / EXHAUST * t) - GRAVITY]

    def height(t, y):
        return y[0]

    def turns(t, y):
        return y[1]

    height.terminal = turns.terminal = True
    turns.direction = 1.0
    flown = solve_ivp(rates, (0.0, 140.0), [x[2], x[5]], events=(height, turns), rtol=1e-9)
    return -flown.y[1, -1] if flown.t_events[0].size else None


def test_what_cannot_be_landed_meets_the_ground_under_full_thrust():
    low, high = (rocket_landing.x0_centre + s * rocket_landing.x0_box for s in (-1.0, 1.0))
    states = np.random.default_rng(4).uniform(low, high, (60, 7))
    reasons = [why_impossible(rocket_landing, x, {}) for x in states]
    crashing = [(x, why) for x, why in zip(states, reasons, strict=True) if why and 'm/s' in why]
    assert 2 <= len(crashing) <= 20
    for x, why in crashing:
        hit = fall_under_full_thrust(x)
        assert hit is not None
        assert abs(hit - float(why.split()[-2])) < 1.0
    below = np.array([3000.0, 0.0, 100.0, 0.0, 0.0, 0.0, 2000.0])
    assert why_impossible(rocket_landing, below, {}) == (
        'cannot be landed: it begins 110 m below the glide slope'
    )
    assert why_impossible(rocket_landing, STATE, {}) is None


@pytest.fixture(scope='module')
def solved():
    """Three solved descents, and three near them."""
    three = solved_descents(rocket_landing, 3, 5)
    return three, descents_nearby(rocket_landing, three, 3, 1)


def test_a_descent_near_a_solved_one_is_that_of_sweeps_from_the_cold_guess(solved):
    three, nearby = solved
    solver, plant = Solver(rocket_landing), timed_plant(rocket_landing)
    assert np.all(nearby.x0[:, [0, 4]] >= 0.0) and np.all(nearby.x0[:, 1] == 0.0)
    assert np.abs(nearby.x0 - three.x0[0]).max() > 1.0
    for x0, cost in zip(nearby.x0, nearby.cost, strict=True):
        flight, outcome = solver.cold(plant, x0, None, 100, 6, last=BARRIER)
        assert outcome.converged
        assert flight.numbers[COST] == pytest.approx(cost, abs=0.05)  # kg


def test_the_lagrangian_with_its_barrier_is_flat_and_least_at_a_solved_descent(solved):
    six = solved[0].and_(solved[1])
    numbers = numbers_of(rocket_landing, six)
    spread = np.maximum(numbers.std(0), 1e-3)
    own = Descent.blank(rocket_landing)._replace(centre=numbers.mean(0), spread=spread)
    dynamics = DescentDynamics(DescentRepresentation(own), rocket_landing)
    lesson = Lesson.of(six, numbers, dynamics)

    def excess(o):
        value = dynamics.lagrangian(o, lesson.x0, lesson.prices, lesson.forces)
        return value + dynamics.barrier(o) - lesson.optimum

    o = lesson.o.clone().requires_grad_()
    fitted = excess(o)
    fitted.sum().backward()
    assert np.all(np.abs(fitted.detach().numpy()) < 0.1)  # kg, as the fit is not exact
    assert np.median(np.linalg.norm(o.grad, axis=1)) < 1.0
    move = torch.from_numpy(np.random.default_rng(3).normal(0.0, 0.1, o.shape))
    both = excess(lesson.o + move) + excess(lesson.o - move)
    assert np.all((both - 2.0 * fitted).detach().numpy() > 1.0)
