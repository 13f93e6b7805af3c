"""A pilot that must not plan, starts over, or is given another controller."""

from types import SimpleNamespace

import numpy as np
import pytest

from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor, SafetyState
from trc_core.flight.settings import Settings
from trc_core.numerics.plan import Plan
from trc_core.systems import get_system

SYSTEM = get_system('quadrotor_2d')  # 0 <= u <= 9.81, a trim control of 4.905
GOAL = np.zeros(SYSTEM.n_x)
PERIOD, RATE = 0.02, 50.0


def controller_of(value, cycles=3):
    """Plans to hold `value`; notes what it was asked for."""
    asked = []

    def plan(x, goal, **options):
        asked.append(options)
        controls = np.full((SYSTEM.horizon, SYSTEM.n_u), value)
        return Plan(controls, np.zeros((SYSTEM.horizon + 1, SYSTEM.n_x)), 1.0, 'test')

    return SimpleNamespace(
        plan=plan,
        lqr_plan=plan,
        asked=asked,
        cycles=cycles,
        tolerance=0.0,
        system=SYSTEM,
        correction=None,
        adjustable=False,
    )


class Flight:
    """A pilot whose clock moves one period per cycle."""

    def __init__(self, mode='tail', rate=(RATE, RATE)):
        self.controller, self.now = controller_of(9.0), 100.0
        limits = CommandLimits.of(SYSTEM, rate=list(rate))
        monitor = SafetyMonitor(SYSTEM, Settings(limits, 0.2, mode), self.controller.lqr_plan)
        self.pilot = Pilot(self.controller, monitor, PERIOD, lambda: self.now)

    def fly(self):
        self.now += PERIOD
        return self.pilot.fly(Measurement(np.zeros(SYSTEM.n_x), self.now), GOAL)

    def stand_by(self):
        self.now += PERIOD
        return self.pilot.stand_by()


@pytest.mark.parametrize(('mode', 'safe'), [('tail', 4.905), ('zero', 0.0)])
def test_a_pilot_that_stands_by_walks_to_the_safe_control_without_planning(mode, safe):
    flight = Flight(mode)
    flight.fly()
    planned = len(flight.controller.asked)
    decisions = [flight.stand_by() for _ in range(20)]
    controls = np.array([9.0, *(decision.control[0] for decision in decisions)])
    assert np.abs(np.diff(controls)).max() == pytest.approx(RATE * PERIOD)
    assert controls[-1] == pytest.approx(safe)
    assert len(flight.controller.asked) == planned
    assert {d.state for d in decisions} == {SafetyState.FALLBACK}
    assert (decisions[0].reason, decisions[0].limit, decisions[0].plan) == (
        'disabled',
        'rate',
        None,
    )
    decision = flight.fly()
    assert decision.state is SafetyState.ACTIVE
    assert 'warm_start' not in flight.controller.asked[-1]


def test_a_pilot_that_stands_by_before_any_flight_commands_nothing():
    decision = Flight().stand_by()
    assert (decision.state, decision.control) == (SafetyState.WAITING, None)


def test_silence_stays_the_safe_thing_where_it_is():
    flight = Flight('none')
    flight.fly()
    assert flight.stand_by().control is None


def test_a_restart_forgets_the_plan_but_not_what_the_plant_obeys():
    flight = Flight()
    flight.fly()
    flight.pilot.monitor.limited['range'] += 1
    flight.pilot.restart()
    monitor = flight.pilot.monitor
    assert monitor.state is SafetyState.WAITING
    assert not monitor.limited
    flight.pilot.take_over(controller_of(0.0))
    decision = flight.fly()
    assert 'warm_start' not in flight.pilot.controller.asked[-1]
    np.testing.assert_allclose(decision.control, 9.0 - RATE * PERIOD)  # never a jolt


def test_another_controller_takes_over_with_its_own_cycles_and_fallback():
    flight = Flight('lqr')
    flight.fly()
    new = controller_of(8.5, cycles=7)
    flight.pilot.take_over(new)
    assert new.cycles == 7
    decision = flight.fly()
    np.testing.assert_allclose(decision.control, 8.5)
    assert 'warm_start' in new.asked[-1]  # the plan that flies is as good as ever
    flight.now += 1.0
    flight.pilot.fly(Measurement(np.zeros(SYSTEM.n_x), 100.0), GOAL)
    assert new.asked[-1] == {}  # the LQR roll-out
    assert len(flight.controller.asked) == 1
