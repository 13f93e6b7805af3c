"""A fleet that plans in batches flies as its robots would alone, and none holds up another."""

import math
from dataclasses import replace

import numpy as np
import pytest

from trc_core import Controller
from trc_core.flight.fleet import Asked, FleetPilot
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.reference import ReferenceTrack
from trc_core.flight.safety import Measurement, SafetyMonitor, SafetyState
from trc_core.flight.settings import Settings

PERIOD, N = 0.02, 7


class Moment:
    """A clock that stands still until it is set."""

    now = 50.0

    def __call__(self):
        return self.now


class Fleet:
    """N robots, flown together or one by one by the same code on the same clock."""

    def __init__(self, controller, **settings):
        self.clock, system = Moment(), controller.system
        made = Settings(CommandLimits.of(system, **settings.pop('limits', {})), 0.2, **settings)
        self.pilots = [
            Pilot(
                controller,
                SafetyMonitor(system, made, controller.lqr_plan),
                PERIOD,
                self.clock,
                input_delay=0.01 * (robot % 2),
                deadline=math.inf,
            )
            for robot in range(N)
        ]
        self.together = FleetPilot(self.pilots, PERIOD, deadline=math.inf)

    def fly(self, asked, together):
        if together:
            return self.together.fly(asked)
        rows = zip(self.pilots, asked, strict=True)
        return [p.fly(a.measurement, a.goal, a.goal_time, a.parameters) for p, a in rows]


@pytest.fixture(scope='module', params=['double_integrator', 'quadrotor_2d'])
def controller(request):
    return Controller.load(request.param, backend='numba', num_threads=1)


def flown(controller, together, cycles=12, disturb=lambda k, robot, asked: asked, **settings):
    """Controls and states of the monitor, (cycles, N) of each; the plants obey."""
    fleet, system = Fleet(controller, **settings), controller.system
    rng = np.random.default_rng(3)
    xs = [system.x0_centre + system.x0_box * rng.uniform(-0.8, 0.8, system.n_x) for _ in range(N)]
    goals = [
        system.goal_centre + system.goal_box * rng.uniform(-0.5, 0.5, system.n_x) for _ in range(N)
    ]
    ages = rng.uniform(0.0, 0.01, (cycles, N))
    controls, states = [], []
    for k in range(cycles):
        fleet.clock.now += PERIOD
        now = fleet.clock.now
        asked = [
            disturb(k, robot, Asked(Measurement(xs[robot], now - ages[k, robot]), goals[robot]))
            for robot in range(N)
        ]
        decisions = fleet.fly(asked, together)
        controls.append([d.control for d in decisions])
        states.append([d.state for d in decisions])
        for robot, decision in enumerate(decisions):
            u = system.u_trim if decision.control is None else decision.control
            xs[robot] = system.step(xs[robot], u, PERIOD)
    return controls, states


def require_same(one, other):
    (controls, states), (expected, expected_states) = one, other
    assert states == expected_states
    for k, (row, wanted) in enumerate(zip(controls, expected, strict=True)):
        for robot, (u, v) in enumerate(zip(row, wanted, strict=True)):
            assert (u is None) == (v is None), (k, robot)
            if u is not None:
                assert np.isfinite(u).all()
                np.testing.assert_array_equal(u, v, err_msg=f'cycle {k}, robot {robot}')


def test_together_they_are_commanded_what_each_is_alone(controller):
    together = flown(controller, True)
    require_same(together, flown(controller, False))
    assert {state for row in together[1] for state in row} == {SafetyState.ACTIVE}


def trouble(k, robot, asked):
    """Robots with faults of all kinds, one each."""
    x, goal = asked.measurement.x, asked.goal
    if robot == 1 and k < 4:
        return replace(asked, measurement=None)
    if robot == 2 and k > 3:
        return replace(asked, measurement=Measurement(x, asked.measurement.time - 1.0))
    if robot == 3 and 3 < k < 7:
        return replace(asked, goal=np.full_like(goal, np.nan))
    if robot == 4:
        return replace(asked, goal_time=0.0)
    if robot == 5 and k > 5:
        return replace(asked, goal=goal[:1])
    return asked


def test_the_troubles_of_some_are_their_own(controller):
    settings = {'goal_timeout': 30.0, 'fallback_mode': 'hold', 'failure_tolerance': 2}
    together = flown(controller, True, disturb=trouble, **settings)
    require_same(together, flown(controller, False, disturb=trouble, **settings))
    healthy = flown(controller, True, **settings)
    for robot in (0, 6):
        require_same(
            [[[row[robot]] for row in part] for part in together],
            [[[row[robot]] for row in part] for part in healthy],
        )
    states = together[1]
    assert states[3][1] is SafetyState.WAITING and states[4][1] is SafetyState.ACTIVE
    assert states[-1][2] is states[-1][5] is SafetyState.FALLBACK
    assert [states[k][3] for k in (4, 6, 7)] == [
        SafetyState.DEGRADED,
        SafetyState.FALLBACK,
        SafetyState.ACTIVE,
    ]
    assert states[-1][4] is SafetyState.WAITING


def along(k, robot, asked):
    """Two of them follow a reference."""
    if robot > 1:
        return asked
    system = SYSTEM_OF[0]
    times = np.array([0.0, 100.0])
    states = np.vstack([system.goal_centre, system.goal_centre + 0.2 * system.goal_box])
    return replace(asked, goal=ReferenceTrack.checked(system, times, states, 0.0))


SYSTEM_OF = []


def test_those_that_follow_a_reference_are_planned_for_alone(controller):
    SYSTEM_OF[:] = [controller.system]
    require_same(
        flown(controller, True, 6, disturb=along), flown(controller, False, 6, disturb=along)
    )


def test_narrower_limits_change_nothing_but_the_time(controller):
    system = controller.system
    middle, half = (system.u_min + system.u_max) / 2, (system.u_max - system.u_min) / 4
    limits = {'low': (middle - half).tolist(), 'high': (middle + half).tolist()}
    try:
        together = flown(controller, True, 6, limits=limits)
        require_same(together, flown(controller, False, 6, limits=limits))
    finally:
        controller.bounds = system.u_min, system.u_max


def test_most_plans_are_made_in_batches(controller, monkeypatch):
    rows = []
    plan_batch = Controller.plan_batch

    def counted(self, x, goal, **options):
        rows.append(len(x))
        return plan_batch(self, x, goal, **options)

    monkeypatch.setattr(Controller, 'plan_batch', counted)
    flown(controller, True, 3)
    assert rows == [N, N, N]


def test_a_batch_that_fails_leaves_every_robot_its_own_plan(controller, monkeypatch):
    def broken(self, *arguments, **options):
        raise ValueError('no batch')

    monkeypatch.setattr(Controller, 'plan_batch', broken)
    together = flown(controller, True, 3)
    monkeypatch.undo()
    require_same(together, flown(controller, False, 3))


def test_with_no_time_left_every_robot_still_has_a_command(controller):
    controller.warm_up()
    fleet = Fleet(controller)
    hasty = FleetPilot(fleet.pilots, PERIOD, deadline=0.0)
    x = controller.system.x0_centre + 0.5 * controller.system.x0_box
    for _ in range(3):
        fleet.clock.now += PERIOD
        asked = [Asked(Measurement(x, fleet.clock.now), controller.system.goal_centre)] * N
        decisions = hasty.fly(asked)
        assert all(d.plan.cycles == 0 for d in decisions)
        assert all(np.isfinite(d.control).all() for d in decisions)


def test_a_fleet_needs_pilots_with_one_controller(controller):
    with pytest.raises(ValueError, match='share one controller'):
        FleetPilot([], PERIOD)
