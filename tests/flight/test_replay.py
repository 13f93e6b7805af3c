"""Replay: a pilot that is given what another one knew commands the same, to the last bit."""

import copy
import json
import math
import random
import time
from dataclasses import replace

import numpy as np
import pytest

from trc_core import Controller
from trc_core.flight.adaptation import ParameterEstimator
from trc_core.flight.cycle_record import FORM, read_record, record_of, split, text_of
from trc_core.flight.limits import CommandLimits
from trc_core.flight.memory import PLACES, recall, remembered, sizes_of
from trc_core.flight.pilot import Pilot
from trc_core.flight.reference import ReferenceTrack
from trc_core.flight.replay import ReplayedController, replayed
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings

PERIOD = 0.02
CYCLES = 60
FIRST_WEIGHT, LAST_WEIGHT = 20, 40  # cycles between which R differs
DELAY = 0.03


class Clock:
    """A clock that goes on by itself, as on a computer that is busy now and then."""

    def __init__(self):
        self.now = 100.0
        self._random = random.Random(3)

    def __call__(self):
        self.now += 1e-4 * self._random.random()
        return self.now


def settings_of(system, cycle):
    limits = CommandLimits.of(system, rate=[400.0])
    changed = FIRST_WEIGHT <= cycle < LAST_WEIGHT
    weights = {'R': 3.0 * np.diag(system.R)} if changed else {}
    return Settings(limits, state_timeout=0.2, weights=weights)


def make_pilot(clock, deadline, kind=lambda controller: controller):
    controller = kind(Controller.load('cartpole').with_input_gains())
    system = controller.system
    monitor = SafetyMonitor(system, settings_of(system, 0), controller.lqr_plan)
    estimator = ParameterEstimator(system, noise=[1e-3] * 4)
    return Pilot(controller, monitor, PERIOD, clock, DELAY, estimator, deadline)


@pytest.fixture(scope='module')
def flight():
    """A flight with all that can happen: (the line, and the memory after it) of every cycle."""
    clock, noise = Clock(), np.random.default_rng(1)
    pilot = make_pilot(clock, deadline=2e-4)  # too short for every plan to be finished
    controller = pilot.controller
    controller.warm_up()
    system = controller.system
    x, flown = np.array([0.3, 0.1, 0.0, 0.0]), []
    track = ReferenceTrack(system, np.array([100.0, 102.0]), np.array([[0.0] * 4, [0.4, 0, 0, 0]]))
    for cycle in range(CYCLES):
        clock.now = 100.0 + PERIOD * cycle
        if cycle == 10:
            pilot.restart()
        if cycle == 25:
            pilot.reset()
        if cycle in (FIRST_WEIGHT, LAST_WEIGHT):
            pilot.change(settings_of(system, cycle))
        if cycle == 45:
            clock.now += 0.3  # the state is stale
        measurement = Measurement(x + 1e-3 * noise.standard_normal(4), 100.0 + PERIOD * cycle)
        goal, given = (track, 100.0) if cycle >= 30 else (np.zeros(4), None)
        parameters = {'pole_mass': 0.12} if cycle > 50 else {}
        if cycle == 48:
            decision = pilot.stand_by()
        else:
            decision = pilot.fly(measurement, goal, given, parameters)
        record = record_of(
            cycle,
            pilot.take_events(),
            measurement,
            (goal, given, np.zeros(4)),
            measurement.time + DELAY,
            parameters,
            pilot.readings,
            controller.watch.answers,
            decision,
        )
        flown.append((text_of(record), json.dumps(remembered(pilot))))
        x = system.step(x, decision.control)
    return flown


def flown_again(flight, begin, changes=True):
    """The cycles from one on, flown again by a pilot with the memory of the cycle before."""
    pilot = make_pilot(time.monotonic, 2e-4, ReplayedController)
    system, sizes = pilot.controller.system, sizes_of(pilot.controller.system)
    records = [read_record(split(line)[0], sizes) for line, _ in flight[begin:]]
    recall(pilot, json.loads(flight[begin - 1][1]))
    if changes:
        pilot.change(settings_of(system, begin - 1))

    def before(record):
        if changes and record.cycle in (FIRST_WEIGHT, LAST_WEIGHT):
            pilot.change(settings_of(system, record.cycle))

    return list(replayed(pilot, records, before))


def cost_of(decision):
    return None if decision.plan is None else decision.plan.cost


def differing(cycles):
    return [
        c.record.cycle
        for c in cycles
        if not np.array_equal(c.record.control, c.decision.control)
        or (c.record.verdict, c.record.reason) != (c.decision.state.value, c.decision.reason)
    ]


@pytest.mark.parametrize('begin', [1, 22, 26, 31, 46, 49, 52])
def test_a_flight_goes_on_bit_for_bit_wherever_one_begins(flight, begin):
    cycles = flown_again(flight, begin)
    assert len(cycles) == CYCLES - begin
    assert differing(cycles) == []


def test_the_flight_had_all_that_makes_a_replay_hard(flight):
    records = [split(line)[0] for line, _ in flight]
    assert {r['verdict'] for r in records} >= {'active', 'fallback'}
    assert any(any(r['deadlines']) for r in records)
    assert any(r['reference'] for r in records) and any(r['parameters'] for r in records)
    assert [e for r in records for e in r['events']] == ['restart', 'reset']
    assert any(not r['enabled'] for r in records)


def test_a_weight_that_was_changed_is_found_where_it_was(flight):
    cycles = flown_again(flight, 1, changes=False)
    other = [c.record.cycle for c in cycles if c.record.cost != cost_of(c.decision)]
    assert other[0] == FIRST_WEIGHT
    # A plan for other weights that there was no time to sweep commands the same for a while.
    assert FIRST_WEIGHT <= differing(cycles)[0] < FIRST_WEIGHT + 5


def test_everything_that_a_pilot_remembers_is_in_its_memory():
    """What changes in flight is in the memory, or among what needs none."""
    pilot = make_pilot(Clock(), 1.0)
    settled = {
        'monitor': {'system', 'lqr_plan', '_settings', 'limited'},
        '_pending': {'_system', '_delay'},
        '_turns': {'_places', '_gap'},
        '_anchor': {'_system'},
        '': {
            *('controller', 'monitor', 'input_delay', 'clock', 'readings'),
            *(
                '_period',
                '_deadline',
                '_own_cycles',
                '_pending',
                '_estimator',
                '_turns',
                '_anchor',
                '_events',
                '_motion',
                '_reachable',
                '_begun',  # of plans of a free duration; else it is the last measurement
            ),
        },
    }
    for part, names in settled.items():
        kept = {attribute for where, attribute, _ in PLACES.values() if where == part}
        owner = getattr(pilot, part) if part else pilot
        assert set(vars(owner)) == kept | names, part or 'pilot'


def broken(line, seed):
    """A line with one entry damaged."""
    choose = random.Random(seed)
    entries = json.loads(line)
    name = choose.choice([n for n in FORM.forms if n not in ('goal_time', 'reason', 'verdict')])
    junk = choose.choice(
        [[], {}, 'x', [1, 2, 3, 4, 5, 6, 7], {'shape': [-1], 'numbers': ''}, [[]]]
    )
    if isinstance(junk, list) and name in ('events', 'clock', 'deadlines'):
        junk = [[]]
    if junk == {} and name == 'parameters':
        junk = []
    return json.dumps({**entries, name: junk})


@pytest.mark.parametrize('seed', range(40))
def test_a_damaged_record_is_refused_in_a_line(flight, seed):
    sizes = sizes_of(Controller.load('cartpole').with_input_gains().system)
    with pytest.raises(ValueError, match=r'^[^\n]+$'):
        read_record(split(broken(flight[35][0], seed))[0], sizes)


@pytest.mark.parametrize('text', ['', '7', '[' * 100_000, '{"memory": 3}', '{"a": 1'])
def test_what_is_no_record_is_refused_in_a_line(text):
    with pytest.raises(ValueError, match=r'^[^\n]+$'):
        read_record(split(text)[0], {})


def leaves(tree, path=()):
    """The places of all values in a tree of JSON."""
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        yield (*path, key)
        if isinstance(tree[key], (dict, list)):
            yield from leaves(tree[key], (*path, key))


def test_a_damaged_memory_is_refused_and_changes_nothing(flight):
    pilot = make_pilot(Clock(), 1.0)
    memory = json.loads(flight[40][1])
    before, refused = remembered(pilot), 0
    for path in leaves(memory):
        damaged = copy.deepcopy(memory)
        owner = damaged
        for key in path[:-1]:
            owner = owner[key]
        owner[path[-1]] = {'shape': [10**9], 'numbers': '*'}
        with pytest.raises(ValueError, match=r'^[^\n]+$'):
            recall(pilot, damaged)
        refused += 1
        assert remembered(pilot) == before
    assert refused > 100


def test_numbers_that_are_none_come_back_too():
    form, sizes = FORM.forms['clock'], {}
    values = (math.nan, -0.0, math.inf, 5e-324, 0.1 + 0.2)
    back = form.read(json.loads(json.dumps(form.written(values))), sizes)
    assert np.array(back).tobytes() == np.array(values).tobytes()


def test_replays_repeat_what_there_was_time_for_without_a_clock():
    pilot = make_pilot(Clock(), 0.0, ReplayedController)
    controller = pilot.controller
    controller.warm_up()
    x, weights = np.array([0.2, 0.1, 0.0, 0.0]), {'R': [0.3]}
    plans = {}
    for script in [(), (True,), (False, True)]:
        controller.watch.script = script
        plans[script] = controller.plan(x, np.zeros(4), deadline=1e-9, weights=weights)
        assert controller.watch.answers[: len(script)] == list(script)
    costs = [plans[s].cost for s in [(True,), (False, True), ()]]
    assert costs == sorted(costs, reverse=True) and costs[0] > costs[2]
    assert replace(plans[()]).cost == pytest.approx(costs[2])
