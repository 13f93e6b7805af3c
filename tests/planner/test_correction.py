"""The correction of fine-tuning: it finds the delay, looks ahead, corrects, keeps no state."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from trc_core import SYSTEMS, Controller
from trc_core.checkpoint import load_checkpoint, save_checkpoint
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings
from trc_core.numerics.batch import BatchStep
from trc_core.numerics.cost import trajectory_cost
from trc_core.planner.backends import export_network
from trc_core.planner.correction import Correction, Weights
from trc_core.simulation.fleet import Draw, Fleet, ModelMismatch

SYSTEM = SYSTEMS['double_integrator']
B, TICKS = 6, 8


def weights(**changes):
    """Weights that have learnt something."""
    start = Weights.at_start(SYSTEM, hidden=8, amplitude=0.5, seed=1)
    rng = np.random.default_rng(2)
    learnt = {'output_weight': rng.standard_normal(start.output_weight.shape)}
    return replace(start, **{**learnt, **changes})


def controller(held):
    checkpoint = replace(load_checkpoint(SYSTEM.name), correction=held.tensors() if held else {})
    return Controller(checkpoint)


def problems(count=B):
    return SYSTEM.sample(np.random.default_rng(3), count)


def fly(pilot, delay=1, seed=4, ticks=TICKS):
    """The plans of a few ticks of a fleet that obeys late, (T + 1, B, n_x) true states too."""
    x, goal = problems()
    draw = Draw.of(SYSTEM, ModelMismatch(delay=(delay, delay)), B, np.random.default_rng(seed))
    fleet, plan, plans = Fleet(SYSTEM, draw), None, []
    states = [fleet.reset(x)]
    for _ in range(ticks):
        plan = pilot.plan_batch(states[-1], goal, plan)
        plans.append(plan)
        states.append(fleet.step(plan.controls[:, 0]))
    return plans, np.array(states)


def test_what_has_learnt_nothing_changes_nothing():
    start = controller(Weights.at_start(SYSTEM, 8, 0.5, 1))
    for tuned, plain in zip(fly(start)[0], fly(controller(None))[0], strict=True):
        np.testing.assert_array_equal(tuned.controls, plain.controls)
        np.testing.assert_array_equal(tuned.cost, plain.cost)


@pytest.mark.parametrize('delay', [0, 1, 2, 3])
def test_it_sees_the_delay_and_plans_from_where_a_command_will_act(delay):
    trusting = controller(
        weights(trust=np.array(1.0), sharpness=np.array(9.0), output_weight=np.zeros((1, 8)))
    )
    plans, states = fly(trusting, delay)
    for t in range(4, TICKS - 3):  # as soon as every delay would have shown
        np.testing.assert_allclose(plans[t].states[:, 0], states[t + delay], atol=1e-9)


def test_the_corrected_plan_is_what_the_model_makes_of_its_controls():
    tuned = controller(weights())
    _, goal = problems()
    plans, _ = fly(tuned)
    changed = 0
    for plan in plans[1:]:
        assert (plan.controls >= SYSTEM.u_min).all() and (plan.controls <= SYSTEM.u_max).all()
        for b in range(B):
            x = plan.states[b, 0]
            for t in range(SYSTEM.horizon):
                x = SYSTEM.step(x, plan.controls[b, t])
                np.testing.assert_allclose(plan.states[b, t + 1], x, atol=1e-9)
        J = trajectory_cost(SYSTEM, plan.states, plan.controls, goal[:, None])
        np.testing.assert_allclose(plan.cost, J, rtol=1e-9)
        assert (plan.candidates['uncorrected'] <= plan.cost + 1e-9).all()
        changed += (plan.candidates['uncorrected'] < plan.cost - 1e-6).sum()
    assert changed > B


def test_a_row_of_a_fleet_flies_as_a_single_plan_does():
    tuned = controller(weights(trust=np.array(0.7)))
    _, goal = problems()
    plans, states = fly(tuned)
    single = None
    for t, plan in enumerate(plans):
        single = tuned.plan(states[t, 2], goal[2], single)
        np.testing.assert_allclose(single.controls, plan.controls[2], atol=1e-12)
        assert single.cost == pytest.approx(plan.cost[2])


def test_what_was_really_commanded_is_what_counts():
    """The plant gets another control than the plan's: who knows it sees no disturbance."""
    tuned = controller(weights())
    (x, *_), (goal, *_) = problems()
    plan = tuned.plan(x, goal)
    sent = plan.controls[0] * 0.5 + 0.1
    moved = SYSTEM.step(x, sent)
    known, unknown = (tuned.plan(moved, goal, plan, issued=u) for u in (sent, None))
    assert known.observation.state.disturbance == pytest.approx(0.0, abs=1e-9)
    assert abs(unknown.observation.state.disturbance).max() > 0.01


def test_a_missed_tick_teaches_nothing_but_its_commands_count():
    tuned = controller(weights())
    (x, *_), (goal, *_) = problems()
    first = tuned.plan(x, goal)
    second = tuned.plan(x, goal, first, elapsed=2 * SYSTEM.dt)
    state = second.observation.state
    assert (state.evidence == 0).all()
    np.testing.assert_array_equal(state.commands[0, :2, 0], [first.controls[0, 0]] * 2)
    np.testing.assert_array_equal(state.commands[0, 2:, 0], 0)


def test_a_checkpoint_keeps_it(tmp_path):
    held = weights()
    path = save_checkpoint(tmp_path / 'c.safetensors', controller(held).checkpoint)
    again = load_checkpoint(path)
    assert not any(name.startswith('correction.') for name in again.tensors)
    for name, value in held.tensors().items():
        np.testing.assert_array_equal(again.correction[name], value)
    assert Controller(again.without_correction()).correction is None


def test_a_copied_controller_corrects_as_well():
    tuned = controller(weights())
    for copied, plan in zip(fly(copy.copy(tuned))[0], fly(tuned)[0], strict=True):
        np.testing.assert_array_equal(copied.controls, plan.controls)
        assert 'uncorrected' in copied.candidates


@pytest.mark.parametrize('bad', [np.nan, np.inf, 1e300])
def test_a_correction_stays_inside_the_bounds_whatever_was_measured(bad):
    correction = Correction(SYSTEM, weights(trust=np.array(1.0)), BatchStep(SYSTEM))
    x, goal = problems()
    observation = correction.start(x)
    wild = x.copy()
    wild[0, 0] = bad
    with np.errstate(over='ignore', invalid='ignore'):
        observation = correction.update(observation.state, np.zeros((B, 1)), wild)
        assert np.isfinite(observation.displacements[1:]).all()
        assert np.isfinite(observation.state.evidence).all()
    first = np.full((B, 1), SYSTEM.u_max)
    corrected = correction.corrected(correction.with_plan(observation, goal, first))
    assert (np.abs(corrected[1:]) <= SYSTEM.u_max).all()


def pilot(tuned, period, limits=None):
    settings = Settings(limits or CommandLimits.of(SYSTEM), state_timeout=10.0)
    monitor = SafetyMonitor(SYSTEM, settings, tuned.lqr_plan)
    clock = iter(np.arange(1000) * 1e-6)
    return Pilot(tuned, monitor, period, lambda: next(clock))


def test_it_flies_at_the_rate_that_it_was_tuned_at_only():
    tuned = controller(weights())
    with pytest.raises(ValueError, match='set controller_frequency to 3'):
        pilot(tuned, 0.02)
    flying = pilot(controller(None), 0.02)
    with pytest.raises(ValueError, match='fine-tuned at 3 Hz and would fly at 50 Hz'):
        flying.take_over(tuned)


def test_a_pilot_tells_what_it_really_sent():
    """A limit holds the commands: the plant obeys what was sent, so no disturbance is seen."""
    limits = CommandLimits.of(SYSTEM, rate=[0.1])
    flying = pilot(controller(weights()), SYSTEM.dt, limits)
    (x, *_), (goal, *_) = problems()
    sent, states, held = [], [], 0
    for tick in range(4):
        decision = flying.fly(Measurement(x, tick * SYSTEM.dt), goal)
        states.append(decision.plan.observation.state)
        sent.append(decision.control)
        held += decision.limit == 'rate'
        x = SYSTEM.step(x, decision.control)
    assert held
    np.testing.assert_array_equal(states[3].commands[0, :3], sent[2::-1])
    assert states[3].evidence[0, 0] == pytest.approx(0.0, abs=1e-9)  # it obeys at once


def test_a_graph_that_would_lose_it_is_not_written(tmp_path):
    pytest.importorskip('onnx')
    with pytest.raises(ValueError, match='export the controller that it started from'):
        export_network(controller(weights()).checkpoint, tmp_path / 'c.onnx')


def test_a_correction_stays_inside_narrower_bounds_too():
    tuned = controller(weights(amplitude=np.array(5.0)))
    tuned.bounds = [-0.3], [0.3]
    plans, _ = fly(tuned)
    assert max(abs(plan.controls).max() for plan in plans) == pytest.approx(0.3)
