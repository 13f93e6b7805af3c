"""Plans of a network that only proposes: ranked by merit, swept, the best of them flies."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.problem.robots import TWO_LINKS
from trc_core import Controller
from trc_core.compile.binding import readable_plant_of
from trc_core.evaluation.problems import draw_problems
from trc_core.models.persistence import checkpoint_of
from trc_core.models.plan_representation import for_system
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.numerics.batch import empty_trajectory
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.plan import distinct
from trc_core.numerics.representation import Coordinates
from trc_core.numerics.rollout import Trajectory
from trc_core.planner import starts
from trc_core.planner.backend import ClassicalBackend
from trc_core.planner.classical_kernels import start_rows
from trc_core.solvers import search
from trc_core.solvers.problem import Problem
from trc_core.systems import System, get_system

CAR = get_system('bicycle_circles')
PLANS = 4
NAMES = ('network', *(f'network {i}' for i in range(2, PLANS + 1)))
PROBLEMS = draw_problems(CAR, 8, seed=21)
PROBLEMS_ROW = PROBLEMS.x0[1], PROBLEMS.goal[1], PROBLEMS.parameters[1]


def untrained():
    torch.manual_seed(0)
    sizes = {'latent_dim': 16, 'hidden_dim': 16, 'plans': PLANS, 'H_cycles': 0, 'num_heads': 0}
    model = TinyRecursiveControl.for_system(
        CAR,
        for_system(CAR, Coordinates('canonical', ())),
        proposals='latents',
        use_two_level=True,
        **sizes,
    )
    return checkpoint_of(model.eval(), CAR)


class Given:
    """A proposer of given controls (PLANS, T, n_u), for single problems."""

    candidates = NAMES
    kernels = ()

    def __init__(self, controls):
        self.controls, self.asked = controls, 0

    def propose(self, problems):
        self.asked += 1
        own = dict(zip(CAR.parameters, problems.p.reshape(-1), strict=True))
        problem = Problem.of(CAR, problems.x0[0], problems.r[0, -1], own)
        flown = [problem.replay(u) for u in self.controls]
        x, merits = np.array([x for x, _ in flown]), np.array([merit for _, merit in flown])
        count = len(merits) + (problems.previous is not None)
        plans = Trajectory(np.zeros((1, count, *x.shape[1:])), np.zeros((1, count, 60, 2)))
        plans.x[0, :PLANS], plans.u[0, :PLANS] = x, self.controls
        return plans, np.append(merits, np.full(count - PLANS, np.inf))[None]


@pytest.fixture(scope='module')
def controller():
    return Controller(untrained())


def random_plans(seed):
    rng = np.random.default_rng(seed)
    return rng.uniform(CAR.u_min, CAR.u_max, (PLANS, CAR.horizon, CAR.n_u))


def proposing(controller, monkeypatch, controls):
    given = Given(controls)
    monkeypatch.setattr(controller._planning.backend, '_proposer', given)
    return given


def plan(controller, i, **more):
    return controller.plan(PROBLEMS.x0[i], PROBLEMS.goal[i], **PROBLEMS.arguments(i), **more)


def test_a_network_stands_among_the_starts_that_need_none(controller):
    found = plan(controller, 0)
    assert tuple(found.candidates) == ('lqr', 'lqr 2', 'trim', 'line', 'stop', *NAMES)
    assert isinstance(controller._planning.backend, ClassicalBackend)
    assert found.merit <= min(found.candidates.values())


def test_the_proposal_that_finds_the_way_flies(controller, monkeypatch):
    x0, goal, own = PROBLEMS.x0, PROBLEMS.goal, PROBLEMS.parameters
    best = [search.solve(CAR, x0[i], goal[i], parameters=own[i]) for i in range(6)]
    random = [random_plans(i) for i in range(6)]
    ratios = {'without': [], 'with': []}
    for i, optimum in enumerate(best):
        for name, rows in (('without', 0), ('with', 1)):
            controls = random[i].copy()
            controls[2 : 2 + rows] = optimum.controls
            proposing(controller, monkeypatch, controls)
            ratios[name].append(plan(controller, i).merit / optimum.merit)
    assert max(ratios['with']) <= 1.001
    assert max(ratios['without']) > 1.02  # the line alone is often the wrong way


def test_starts_that_need_no_network_are_those_of_the_classical_controller(
    controller, monkeypatch
):
    classical = Controller.classical(CAR)
    for i in range(3):
        proposing(controller, monkeypatch, random_plans(i))
        with_network, alone = plan(controller, i).candidates, plan(classical, i).candidates
        assert {name: with_network[name] for name in alone} == pytest.approx(alone)


def test_the_others_are_tried_where_the_best_leave_doubts(controller, monkeypatch):
    chosen = controller._planning.backend._starts
    monkeypatch.setattr(chosen, 'tried', 2)
    spent = []
    for is_unsure in (False, True):
        monkeypatch.setattr(chosen, '_is_unsure', lambda *_, found=is_unsure: found)
        spent.append(plan(controller, 1).cycles)
    assert spent[1] > spent[0]


def test_a_way_that_cuts_a_corner_is_a_better_start_than_a_long_way(controller):
    backend, problem = controller._planning.backend, Problem.of(CAR, *PROBLEMS_ROW)
    asked = controller._statement.problems(problem.x0[None], problem.r[None], problem.p)
    plans, merits = backend.propose(asked)
    own, request = Trajectory(plans.x[0], plans.u[0]), asked.requests(CAR)
    ranks = backend._starts._ranks(problem.plant, request, own, merits[0])
    for n, (x, u) in enumerate(zip(*own, strict=True)):
        soft = merits[0, n] - 0.94 * CAR.violation_weight * problem.violations(x, u)[0]
        assert ranks[n] == pytest.approx(soft, rel=1e-9)
    assert list(np.argsort(ranks)) != list(np.argsort(merits[0]))


def test_plans_that_cost_the_same_count_as_one():
    J = np.array([3.0, 2.0, 2.0 + 1e-6, np.inf, 2.5])
    np.testing.assert_array_equal(distinct(J, 3, starts.SAME), [1, 4, 0])
    np.testing.assert_array_equal(distinct(np.full(2, np.inf), 3, starts.SAME), [0])


def test_a_surprise_asks_for_new_proposals(controller, monkeypatch):
    given = proposing(controller, monkeypatch, random_plans(3))
    first = plan(controller, 2)
    seen = {**PROBLEMS.parameters[2]}
    middle = first.states[8]
    seen.update(x6=float(middle[0]), y6=float(middle[1]), r6=0.6, vx6=0.0, vy6=0.0)

    def asks(before):
        asked, way = given.asked, {'warm_start': before, 'elapsed': CAR.dt, 'parameters': seen}
        controller.plan(first.states[1], PROBLEMS.goal[2], **way)
        return given.asked > asked

    assert asks(first)
    assert not asks(replace(first, cycles=99, violation=0.5))  # none was found a tick ago
    assert asks(replace(first, cycles=20, violation=0.5))


def test_a_batch_plans_what_single_problems_get(controller):
    own = [{**CAR.parameters, **row} for row in PROBLEMS.parameters]
    parameters = {name: np.array([row[name] for row in own]) for name in CAR.ranges}
    together = controller.plan_batch(PROBLEMS.x0, PROBLEMS.goal, parameters=parameters)
    merits = [plan(controller, i).merit for i in range(len(own))]
    np.testing.assert_allclose(together.merit, merits, rtol=1e-6)


def test_a_network_without_a_ladder_warms_up_and_has_the_lqr_as_its_fallback(controller):
    assert not len(controller.checkpoint.representation.K_start)
    assert controller.warm_up() > 0.0
    x, goal = np.array([0.0, 0.0, 0.3, 0.5, 0.0]), np.array([5.0, 0.0, 0.0, 0.0, 0.0])
    expected = Controller.classical(CAR).lqr_plan(x, goal)
    np.testing.assert_array_equal(controller.lqr_plan(x, goal).controls, expected.controls)


def test_where_a_network_would_break_through_a_wall_a_law_flies_by_its_own_name():
    cart = System(
        name='cart_at_a_wall',
        dynamics=lambda x, u: [x[1], u[0]],
        constraints=lambda x: {'wall': x[0] - 0.5},
        laws={'stop': lambda x: [-5.0 * x[1]], 'push': lambda x: [1.0 + 0.0 * x[0]]},
        violation_weight=1e-3,  # a merit for which the wall is no obstacle
        state_names=('position', 'velocity'),
        state_units=('m', 'm/s'),
        control_names=('acceleration',),
        control_units=('m/s^2',),
        joints=(),
        dt=0.1,
        horizon=20,
        u_min=[-2.0],
        u_max=[2.0],
        Q=[1.0, 0.1],
        R=[0.01],
        Q_f=[10.0, 1.0],
        x0_box=[0.5, 1.0],
        goal_box=[2.0, 0.0],
        goal_tolerance=[0.1, 0.1],
    )
    model = TinyRecursiveControl.for_system(
        cart, for_system(cart, Coordinates()), latent_dim=8, hidden_dim=8, num_heads=0
    )
    controller = Controller(checkpoint_of(model.eval(), cart), backend='numpy')
    plan = controller.plan([0.0, 1.0], [2.0, 0.0])
    assert plan.source == 'stop' and plan.violation <= 0.0
    assert tuple(plan.candidates) == ('lqr', 'network', 'trim', 'stop', 'push')
    assert plan.candidates['stop'] == plan.merit


@pytest.mark.parametrize('robot', [False, True], ids=['car', 'two links'])
def test_compiled_starts_are_those_of_plain_python(robot, tmp_path):
    path = tmp_path / 'two_links.urdf'
    path.write_text(TWO_LINKS)
    system = System.from_urdf(path, dt=0.04, horizon=25) if robot else CAR
    controller = Controller.classical(system)
    x = system.x0_centre + system.x0_box / 4
    reference = constant_reference(system.goal_centre[None], system.horizon)
    efforts = np.random.default_rng(0).normal(size=(1, system.horizon, system.n_u))
    problems = controller._statement.problems(x[None], reference)._replace(previous=efforts)
    backend = controller._planning.backend
    _, found = backend.propose(problems)
    expected = backend.empty(problems)
    plans = empty_trajectory(system, *expected.starts.shape)
    plant = problems.adjusted(readable_plant_of(system))
    ladder = controller.checkpoint.representation.K_start
    start_rows(plant, ladder, problems.requests(system), expected, plans)
    assert found.shape[1] == len(system.laws) + 4  # two LQRs, u_trim, and the plan before
    np.testing.assert_allclose(found, expected.starts, rtol=1e-9)
