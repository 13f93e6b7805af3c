"""The certificate of the shipped quadrotor: near the optimum, and never fallen in wind."""

from trc_core import Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.evaluation.problems import draw_problems
from trc_core.solvers import ilqr


def test_hovering_is_near_the_optimum_and_never_wrong():
    certificate = load_checkpoint('quadrotor').metrics['certificate']
    assert certificate['states'] >= 200 and certificate['unsolved'] == 0
    found = certificate['scores']
    ours, polished = found['trc, K = 3'], found['trc, K = 3 + 1 sweep']
    assert ours['mean'] <= 1.003 and ours['wrong'] == 0.0
    assert polished['mean'] <= 1.0005
    assert found['clipped LQR']['wrong'] > 0.5  # so that there is something to do


def test_a_flip_is_near_the_optimum_and_ends_where_the_optimum_does():
    certificate = load_checkpoint('quadrotor_flip').metrics['certificate']
    assert certificate['states'] >= 200 and certificate['unsolved'] == 0
    found = certificate['scores']
    ours, optimum = found['trc, K = 5'], found['iLQR, 12 starts']
    assert ours['mean'] <= 1.01 and ours['median'] <= 1.0005 and ours['wrong'] <= 0.04
    assert ours['success'] >= optimum['success'] - 0.01


def test_no_flight_with_another_mass_and_in_wind_falls():
    metrics = load_checkpoint('quadrotor').metrics
    (name,) = [name for name in metrics if name.startswith('closed loop, plant off by 0% mass')]
    assert '--states 100' in metrics[name]['command'] and 'wind_x=' in name
    for planner, figures in metrics[name]['cost over that of converged MPC'].items():
        assert figures['fallen'] == 0 or not planner.startswith('trc')
    assert metrics[name]['held'] == '100 of 100 flights (trc, learning)'


def test_plans_are_as_good_as_sweeps_to_the_end_on_other_problems():
    controller = Controller.load('quadrotor')
    system = controller.system
    x0, goal = draw_problems(system, 6, seed=17)[:2]
    for state, wanted in zip(x0, goal, strict=True):
        plan = controller.plan(state, wanted)
        assert plan.cost <= 1.01 * ilqr.solve(system, state, wanted).cost
        assert plan.cost <= min(plan.candidates.values())
