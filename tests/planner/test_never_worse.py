"""No plan costs more than what needs no network, as an independent roll-out of it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trc_core import SYSTEMS, Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.numerics.classical import LADDER
from trc_core.numerics.cost import trajectory_cost
from trc_core.solvers.problem import Problem
from trc_core.systems.draws import drawn_states

ONE = 1.0 + 1e-9


def spoilt(name, seed=0):
    """A controller whose network writes nonsense and refines nothing."""
    checkpoint, rng = load_checkpoint(name), np.random.default_rng(seed)
    tensors = {
        key: value + rng.normal(0.0, 1.0, value.shape).astype(value.dtype)
        if value.dtype == np.float32
        else value
        for key, value in checkpoint.tensors.items()
    }
    return Controller(replace(checkpoint, tensors=tensors), cycles=0)


def classical_starts(system, x0, goal):
    """The merits of the clipped LQRs and of the trim, by NumPy's dynamics, step by step."""
    problem = Problem.of(system, x0, goal)
    flown = [*problem.fly_ladder(LADDER), problem.hold_trim()]
    merits = []
    for _, controls, _ in flown:
        states = [x0]
        for u in controls:
            states.append(system.step(states[-1], u))
        with np.errstate(all='ignore'):
            merits.append(
                trajectory_cost(system, np.array(states)[None], controls[None], goal[None])[0]
            )
    return merits


@pytest.mark.parametrize('name', ['pendulum', 'cartpole_swingup', 'quadrotor_flip'])
def test_a_plan_is_no_dearer_than_any_start_that_needs_no_network(name):
    controller = Controller.load(name)
    system = controller.system
    x0, goal = drawn_states(system, np.random.default_rng(11), 6)
    plans = controller.plan_batch(x0, goal)
    for b in range(len(x0)):
        plan = controller.plan(x0[b], goal[b])
        starts = classical_starts(system, x0[b], goal[b])
        assert plan.merit <= ONE * min(*plan.candidates.values(), *starts)
        assert plans.merit[b] == pytest.approx(plan.merit, rel=1e-9)
        of_trim = plan.candidates['trim']
        assert of_trim == pytest.approx(starts[-1], rel=1e-6) or starts[-1] > 1e12


def test_what_needs_no_network_flies_where_the_network_fails():
    controller = spoilt('cartpole_swingup')
    system = controller.system
    x0, goal = drawn_states(system, np.random.default_rng(3), 30)
    plans = controller.plan_batch(x0, goal)
    assert {'trim', 'lqr 2'} <= set(plans.source)
    assert (plans.merit <= ONE * np.array(list(plans.candidates.values())).min(0)).all()
    for b in np.flatnonzero(np.isin(plans.source, ('trim', 'lqr 2'))):
        problem = Problem.of(system, x0[b], goal[b])
        states, merit = problem.replay(plans.controls[b])
        np.testing.assert_allclose(plans.states[b], states, atol=1e-6)
        assert plans.merit[b] == pytest.approx(merit, rel=1e-6)
    refined = Controller(controller.checkpoint, cycles=4).plan_batch(x0, goal)
    assert (refined.merit <= ONE * plans.merit).all()
    assert (refined.merit < 0.9 * plans.merit).sum() > 10


def test_a_plan_that_goes_on_as_expected_tries_nothing_else():
    controller = Controller.load('cartpole_swingup')
    (x0,), (goal,) = drawn_states(controller.system, np.random.default_rng(5), 1)
    first = controller.plan(x0, goal)
    going_on = controller.plan(first.states[1], goal, warm_start=first)
    surprised = controller.plan(first.states[1] + 1.0, goal, warm_start=first)
    assert 'trim' in first.candidates and 'trim' in surprised.candidates
    assert 'trim' not in going_on.candidates
    assert surprised.merit <= ONE * min(surprised.candidates.values())


def test_a_classical_controller_takes_the_name_or_the_file_of_a_plant():
    assert Controller.classical('van_der_pol').system is SYSTEMS['van_der_pol']
    file = Path(__file__).parents[2] / 'examples' / 'plants' / 'acrobot.py'
    assert Controller.classical(file).system.name == 'acrobot'
    with pytest.raises(ValueError, match="unknown system 'vdp'; choose from"):
        Controller.classical('vdp')
