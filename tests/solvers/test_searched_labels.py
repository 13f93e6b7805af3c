"""Labels by merit: kept constraints, both sides of obstacles, starts along plans that move on."""

import logging
from dataclasses import fields, replace

import numpy as np
import pytest

from trc_core.compile.binding import plant_of, readable_plant_of
from trc_core.numerics.batch import empty_trajectory
from trc_core.numerics.cost import trajectory_cost
from trc_core.problem.system import Obstacle
from trc_core.solvers import detours, nlp, searched_labels
from trc_core.solvers.detour_kernels import POINTS, Field, fly_ways, taut_way
from trc_core.solvers.library import library_labels
from trc_core.solvers.problem import Problem
from trc_core.solvers.search import LABEL, Effort, search
from trc_core.systems import SYSTEMS
from trc_core.systems.bicycle_circles import CIRCLES, draw, unused
from trc_core.systems.bicycle_circles import bicycle_circles as car
from trc_core.systems.double_integrator import multi_axis

COUNT = 24
STILL = np.zeros(5)
GOAL = np.array([5.0, 0.0, 0.0, 0.0, 0.0])


@pytest.fixture(scope='module')
def labels():
    return library_labels(car, COUNT, seed=2)


def circles(row, time):
    """Centres (6, 2) and radii (6,) from a row of parameters, some seconds later."""
    named = dict(zip(car.parameters, row, strict=True))
    numbers = range(1, CIRCLES + 1)
    centres = [
        [named[f'{axis}{k}'] + time * named[f'v{axis}{k}'] for axis in ('x', 'y')] for k in numbers
    ]
    return np.array(centres), np.array([named[f'r{k}'] for k in numbers])


def depths(states, row):
    """How far a plan is inside each circle at every step (T + 1, 6)."""
    found = []
    for t, x in enumerate(states):
        centres, radii = circles(row, t * car.dt)
        found.append(radii - np.linalg.norm(centres - x[:2], axis=1))
    return np.array(found)


def test_every_label_is_a_flight_that_keeps_off_its_own_circles(labels):
    assert labels.parameters.shape == (COUNT, len(car.p))
    assert np.all(labels.controls >= car.u_min) and np.all(labels.controls <= car.u_max)
    np.testing.assert_array_equal(labels.states[:, 0], labels.x0)
    for states, controls, row in zip(
        labels.states, labels.controls, labels.parameters, strict=True
    ):
        for t in range(car.horizon):
            x_next = car.step(states[t], controls[t])
            np.testing.assert_allclose(states[t + 1], x_next, atol=1e-11)
        assert depths(states, row)[1:].max() <= car.constraint_tolerance


def test_the_merit_is_the_cost_and_the_price_of_what_is_violated(labels):
    J = trajectory_cost(car, labels.states, labels.controls, labels.goal[:, None])
    np.testing.assert_allclose(labels.cost, J, rtol=1e-9)
    for i in range(COUNT):
        inside = np.maximum(depths(labels.states[i], labels.parameters[i])[1:], 0.0).sum()
        beyond = np.maximum(
            np.concatenate([labels.states[i, 1:] - car.x_max, car.x_min - labels.states[i, 1:]]),
            0.0,
        ).sum()
        price = car.violation_weight * (inside + beyond)
        assert labels.merit[i] == pytest.approx(J[i] + price, rel=1e-9)


def test_multipliers_push_only_where_a_circle_is_touched(labels):
    T, n_h = car.horizon, len(car.task.constraints)
    assert labels.multipliers.shape == (COUNT, T + 1, n_h)
    assert labels.penalties.shape == (COUNT, n_h) and np.all(labels.penalties > 0.0)
    touched = np.array(
        [depths(x, row) for x, row in zip(labels.states, labels.parameters, strict=True)]
    )
    pushing = labels.multipliers[..., :CIRCLES]
    assert pushing.min() == 0.0 and pushing.max() > 1.0
    assert np.all(np.abs(touched[pushing > 1.0]) < 0.05)


def test_half_of_the_problems_begin_along_plans_and_their_circles_have_moved_on(labels):
    assert labels.box.sum() == COUNT - COUNT // 2
    drawn = np.flatnonzero(labels.box)
    for i in np.flatnonzero(~labels.box):
        of = [k for k in drawn if np.array_equal(labels.goal[k], labels.goal[i])]
        (k,) = of
        gap = np.abs(labels.states[k] - labels.x0[i]).max(1)
        t = int(gap.argmin())
        assert car.horizon // 3 <= t <= 2 * car.horizon // 3 and gap[t] < 0.1
        centres, _ = circles(labels.parameters[i], 0.0)
        close = [
            np.abs(circles(labels.parameters[k], s * car.dt)[0] - centres) for s in (t, t + 1)
        ]
        before = np.abs(circles(labels.parameters[k], (t - 1) * car.dt)[0] - centres)
        assert min(gap.max() for gap in (*close, before)) < 1e-9
    assert 0 < np.count_nonzero(labels.parameters[:, car.places['vx1']]) < COUNT


def test_the_seed_decides_every_byte_whatever_the_number_of_threads(monkeypatch):
    first = library_labels(car, 6)
    monkeypatch.setattr(searched_labels, 'cores', lambda: 5)
    again, reseeded = library_labels(car, 6), library_labels(car, 6, seed=1)
    for field in fields(first):
        assert getattr(first, field.name).tobytes() == getattr(again, field.name).tobytes()
    assert not np.any(first.x0[:, 2] == reseeded.x0[:, 2])


def test_labels_are_as_good_as_a_search_ten_times_as_long_and_better_than_ipopt():
    rng, much = np.random.default_rng(31), Effort(60, 1000, 15, 12, 120)
    for i in range(4):  # of the last, only ways around the circles find the best plan
        x0, goal, parameters = draw(rng)
        problem = Problem.of(car, x0, goal, parameters)
        merit = search(problem, LABEL, np.random.default_rng(i)).merit[0]
        assert merit <= 1.02 * search(problem, much, np.random.default_rng(7 + i)).merit[0]
        if i < 2:
            assert merit <= nlp.solve(car, x0, goal, parameters=parameters).merit * (1 + 1e-3)


def among(*placed):
    """A problem of the car on the x axis with circles x, y, r, vx, vy."""
    parameters = {}
    for k, values in enumerate(placed, start=1):
        parameters |= dict(zip(unused(k), values, strict=True))
    return Problem.of(car, STILL, GOAL, parameters)


def test_a_circle_is_passed_on_either_side():
    states, controls, merits = detours.detours(among((2.5, 0.0, 0.6, 0.0, 0.0)))
    assert states.shape[0] == controls.shape[0] == 2 and np.isfinite(merits).all()
    beside = [x[np.argmax(x[:, 0] >= 2.5), 1] for x in states]
    assert -0.9 < beside[0] < -0.5 and 0.5 < beside[1] < 0.9
    nearest = np.linalg.norm(states[..., :2] - GOAL[:2], axis=2).min(1)
    assert np.all(nearest < 0.2)


def test_a_circle_that_moves_is_passed_where_it_will_be():
    problem = among((2.5, -0.5, 0.6, 0.0, 0.15))
    states, _, merits = detours.detours(problem)
    for x, merit in zip(states, merits, strict=True):
        assert np.isfinite(merit) and depths(x, problem.p).max() < 0.1
    sides = [x[np.argmax(x[:, 0] >= 2.5), 1] for x in states]
    where = -0.5 + 0.15 * np.mean([np.argmax(x[:, 0] >= 2.5) * car.dt for x in states])
    assert np.mean(sides) == pytest.approx(where, abs=0.1) and abs(where) < 0.3


def test_circles_without_a_gap_leave_no_way_between_them():
    _, _, merits = detours.detours(among((2.5, 0.4, 0.6, 0, 0), (2.5, -0.4, 0.6, 0, 0)))
    assert np.isfinite(merits).sum() == 2


def test_a_taut_way_has_the_length_of_the_shortest_one():
    r, d = 0.6, 2.5
    centres, places = np.array([[0.5, 0.0]]), np.array([0, 1])
    along, beside = np.array([2 * d, 0.0]), np.array([0.0, 1.0])
    field = Field(np.zeros(2), along, beside, centres, np.array([r]), places)
    y = np.empty(POINTS)
    assert taut_way(field, 1, y) and y.min() == 0.0
    length = np.hypot(np.diff(y), 2 * d / (POINTS - 1)).sum()
    # two tangents, and the arc between where they touch
    shortest = 2 * np.sqrt(d**2 - r**2) + 2 * r * np.arcsin(r / d)
    assert length == pytest.approx(shortest, rel=2e-3)


def test_ways_run_as_plain_python():
    problem = among((2.5, 0.1, 0.6, 0.0, 0.0))
    states, _, merits = detours.detours(problem)
    places = detours.position_places(car)
    field = detours._field(problem, places, problem.fly_law('line', problem.r)[0])
    flown, J = empty_trajectory(car, 2), np.empty(2)
    plain = readable_plant_of(car)
    plant = problem.plant._replace(
        dynamics=plain.dynamics._replace(p=problem.p), terms=plain.terms
    )
    fly_ways(plant, 0, field, problem.x0, problem.r, flown, J)
    np.testing.assert_allclose(J, merits, rtol=1e-9)
    np.testing.assert_allclose(flown.x, states, atol=1e-9)
    assert plant_of(car) is not plain


def hovering(x, cx, cy, cz, r):
    gaps = (x[3] - cx, x[1] - cy, x[0] - cz)
    return {'ball': r - np.sqrt(sum(gap**2 for gap in gaps))}


def test_the_position_is_found_by_what_the_constraints_say():
    np.testing.assert_array_equal(detours.position_places(car), [0, 1])
    drone = replace(
        multi_axis(3),
        name='drone',
        parameters={'cx': 50.0, 'cy': 0.0, 'cz': 0.0, 'r': 0.5},
        dynamics=lambda x, u, **_: [x[1], u[0], x[3], u[1], x[5], u[2]],
        constraints=hovering,
        obstacles=(Obstacle('cx', 'cy', 'r', z='cz'),),
    )
    np.testing.assert_array_equal(detours.position_places(drone), [3, 1, 0])
    assert len(detours.position_places(SYSTEMS['pendulum'])) == 0
    assert len(detours.detours(Problem.of(drone, np.zeros(6), np.ones(6)))[2]) == 0  # no law


def test_ranges_alone_are_labelled_with_their_own_parameters():
    system = replace(SYSTEMS['van_der_pol'], name='ranged', ranges={'mu': (0.5, 1.5)})
    labels = library_labels(system, 6)
    mu = labels.parameters[:, system.places['mu']]
    assert len(set(mu)) >= 3 and mu.min() >= 0.5 and mu.max() <= 1.5
    np.testing.assert_array_equal(labels.merit, labels.cost)
    assert labels.multipliers.shape[2] == labels.penalties.shape[1] == 0
    for i in range(3):
        plan = nlp.solve(system, labels.x0[i], labels.goal[i], parameters={'mu': mu[i]})
        assert labels.cost[i] == pytest.approx(plan.cost, rel=1e-3)


def pushed(low, high):
    """A point in front of a wall that comes nearer at a speed from a range."""
    return replace(
        multi_axis(1),
        name='pushed',
        horizon=10,
        parameters={'speed': 0.0},
        dynamics=lambda x, u, speed: [x[1], u[0]],
        constraints=lambda x, time, speed: {'wall': x[0] - 3.0 + speed * time},
        ranges={'speed': (low, high)},
    )


def test_problems_without_a_way_are_left_out_and_counted(caplog):
    system = pushed(0.0, 4.0)
    with caplog.at_level(logging.WARNING, logger='trc'):
        labels = library_labels(system, 6)
    assert len(labels.cost) == 6 and labels.parameters.max() < 3.0
    (line,) = [record.getMessage() for record in caplog.records]
    assert "'pushed': " in line and 'have no plan that keeps the constraints' in line
    left_out, drawn = int(line.split()[1]), int(line.split()[3])
    assert drawn == 6 + left_out and left_out > 0


def test_a_system_without_any_way_is_an_error(monkeypatch):
    monkeypatch.setattr(searched_labels, 'HOPELESS', 3)
    with pytest.raises(ValueError, match="'pushed': no plan keeps the constraints in"):
        library_labels(pushed(20.0, 30.0), 2)
