"""The plant's parameters are learned from its motion, and flown with."""

from functools import partial

import numpy as np
import pytest
from numpy import cos, sin

from tests.problem.robots import TWO_LINKS
from trc_core import Controller, System, get_system
from trc_core.compile.binding import readable_plant_of
from trc_core.compile.kernels import compiled
from trc_core.evaluation.closed_loop import PerturbedPlant, fly_all, learning
from trc_core.evaluation.problems import fresh_problems
from trc_core.flight.adaptation import OUTLIER, ParameterEstimator
from trc_core.flight.adaptation_kernels import MOST_LINEARISED, Motion, correct, predict
from trc_core.flight.learnable import Learnable
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings
from trc_core.numerics.cost import difference
from trc_core.simulation import in_error

PLANTS = ('van_der_pol', 'cartpole', 'quadrotor_2d')


def motions(system, plant, count, noise=0.0, seed=1):
    """Random motions near the middle of the system's box: (x, controls, seconds, x_next)."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x = rng.uniform(-0.5, 0.5, system.n_x) * system.x0_box
        controls = rng.uniform(system.u_min, system.u_max, (2, system.n_u))
        seconds = rng.uniform(0.2, 0.8, 2) * system.dt
        after = x
        for u, time in zip(controls, seconds, strict=True):
            after = plant.step(after, u, time)
        before, after = (a + noise * rng.standard_normal(system.n_x) for a in (x, after))
        yield before, controls, seconds, after


@pytest.mark.parametrize('name', PLANTS)
def test_the_parameters_of_a_wrong_model_are_found(name):
    system = get_system(name)
    plant = in_error(system, 0.1)
    estimator = ParameterEstimator(system)
    estimate = estimator.prior()
    for motion in motions(system, plant, 200):
        estimate = estimator.update(estimate, *motion)
    # Parameters that act alike keep their share each; what they do together must be right.
    learned = system.with_parameters(
        **dict(zip(system.parameters, estimator.parameters(estimate), strict=True))
    )
    for x, controls, _, _ in motions(system, plant, 20, seed=2):
        wrong = np.abs(system.step(x, controls[0]) - plant.step(x, controls[0])).max()
        right = np.abs(learned.step(x, controls[0]) - plant.step(x, controls[0])).max()
        assert right < 0.05 * wrong
    assert (np.diag(estimate.covariance) < np.diag(estimator.prior().covariance)).any()


def swinging_load(**words):
    """A pendulum that may carry a load, feel a wind and have a seal; none of them as modelled."""

    def dynamics(x, u, load, wind, seal):
        mass = 0.5 + load
        torque = u[0] + wind * cos(x[0]) - (0.1 + seal) * x[1] - 9.81 * 0.4 * mass * sin(x[0])
        return [x[1], torque / (0.16 * mass)]

    return System(
        **{
            'name': 'swinging_load',
            'dynamics': dynamics,
            'parameters': {'load': 0.0, 'wind': 0.0, 'seal': 0.0},
            'state_names': ('angle', 'rate'),
            'state_units': ('rad', 'rad/s'),
            'control_names': ('torque',),
            'control_units': ('N m',),
            'joints': (),
            'dt': 0.05,
            'horizon': 20,
            'u_min': [-8.0],
            'u_max': [8.0],
            'Q': [1.0, 0.1],
            'R': [0.01],
            'x0_box': [1.0, 2.0],
            'goal_box': [1.0, 0.0],
            **words,
        }
    )


@pytest.mark.parametrize('ranges', [{}, {'load': (0.0, 2.0), 'wind': (-1.0, 1.0)}])
def test_what_is_zero_in_the_model_is_found_with_and_without_a_range(ranges):
    system = swinging_load(ranges=ranges)
    plant = system.with_parameters(load=0.8, wind=-0.5, seal=0.2)
    estimator = ParameterEstimator(system)
    assert estimator.names == ('load', 'wind', 'seal')
    estimate = estimator.prior()
    for motion in motions(system, plant, 60):
        estimate = estimator.update(estimate, *motion)
    assert estimate.is_adopted
    np.testing.assert_allclose(estimator.parameters(estimate), plant.p, rtol=0.01)


def test_a_range_is_not_left_and_what_stands_at_its_end_in_the_model_keeps_no_one_from_learning():
    system = swinging_load(ranges={'load': (0.0, 0.3)})
    estimator = ParameterEstimator(system)
    for load, wind, adopted in ((0.8, 0.0, False), (-0.01, 0.4, True)):
        plant, estimate = system.with_parameters(load=load, wind=wind), estimator.prior()
        for motion in motions(system, plant, 60):
            estimate = estimator.update(estimate, *motion)
        assert estimate.is_adopted == adopted
        assert 0.0 <= estimator.parameters(estimate)[0] <= 0.3


def test_what_the_controls_cannot_make_up_for_is_learned_within_a_range_only():
    def dynamics(x, u, leak, unread):
        return [x[1], u[0], leak]

    words = {
        'dynamics': dynamics,
        'parameters': {'leak': 0.0, 'unread': 0.0},
        'state_names': ('place', 'speed', 'level'),
        'state_units': ('m', 'm/s', 'm'),
        'Q': [1.0, 0.1, 0.0],
        'x0_box': [1.0, 1.0, 1.0],
        'goal_box': [0.0, 0.0, 0.0],
    }
    with pytest.raises(ValueError, match="nothing to learn: system 'swinging_load'"):
        ParameterEstimator(swinging_load(**words))
    ranged = swinging_load(**words, ranges={'leak': (-0.1, 0.1), 'unread': (-1.0, 1.0)})
    assert ParameterEstimator(ranged).names == ('leak',)


class TextbookFilter:
    """The same filter in matrices, for motions that are no outliers: a truth for the kernels."""

    def __init__(self, system, sigma, uncertainty, drift):
        self.system, self.R = system, np.diag(sigma**2)
        self.learnable = Learnable.of(system, uncertainty, 1.0)
        self.m, self.P = np.zeros(len(system.p)), np.diag(self.learnable.variance)
        self.drift = drift**2 * np.diag(1.0 * self.learnable.is_learned)
        self.linearised = 0

    def end(self, x, controls, seconds, p):
        plant = self.system.with_parameters(**dict(zip(self.system.parameters, p, strict=True)))
        for u, time in zip(controls, seconds, strict=True):
            x = plant.step(x, u, time)
        return x

    def slopes(self, function, at, scales):
        columns = np.eye(len(at)) * scales * 1e-5
        return np.stack([(function(at + c) - function(at)) / 1e-5 for c in columns], axis=1)

    def is_small(self, x):
        return x @ np.linalg.solve(self.R, x) < len(x)

    def learn(self, x, controls, seconds, after):
        system, known, R = self.system, self.learnable, self.R
        P, m = self.P + seconds.sum() * self.drift, self.m
        for _ in range(MOST_LINEARISED):
            self.linearised += 1
            p = known.values(m, system.p)
            off = difference(system, after, self.end(x, controls, seconds, p))
            scales = np.where(known.low < known.high, known.high - known.low, p)
            end = partial(self.end, controls=controls, seconds=seconds)
            H = self.slopes(lambda p, end=end: end(x, p=p), p, scales)
            F = self.slopes(partial(end, p=p), x, 1.0)
            noise = R + F @ R @ F.T
            S = H @ P @ H.T + noise
            if m is self.m:
                assert off @ np.linalg.inv(S) @ off < len(x) * OUTLIER**2
            K = P @ H.T @ np.linalg.inv(S)
            new = np.clip(self.m + K @ (off - H @ (self.m - m)), *known.limits(system.p))
            moved, m = H @ (new - m), new
            p = known.values(m, system.p)
            left = difference(system, after, self.end(x, controls, seconds, p))
            if self.is_small(moved) or self.is_small(off - moved - left):
                break
        self.m, self.P = m, (np.eye(len(P)) - K @ H) @ P


def two_links():
    return System.from_urdf(TWO_LINKS, dt=0.02, horizon=10, payload=0.0)


@pytest.mark.parametrize(
    ('system', 'truth'),
    [
        (get_system('van_der_pol'), {'mu': 1.4}),
        (get_system('cartpole'), {'cart_mass': 1.2, 'pole_mass': 0.09}),
        (two_links(), {'payload': 1.5}),
    ],
    ids=lambda value: getattr(value, 'name', ''),
)
def test_an_estimate_is_that_of_the_filter_in_matrices(system, truth):
    noise, uncertainty, drift, count = 1e-3, 0.3, 0.05, 15
    sigma = np.full(system.n_x, noise)
    estimator = ParameterEstimator(system, sigma, uncertainty, drift)
    textbook, estimate = TextbookFilter(system, sigma, uncertainty, drift), estimator.prior()
    for motion in motions(system, system.with_parameters(**truth), count, noise):
        textbook.learn(*motion)
        estimate = estimator.update(estimate, *motion)
        np.testing.assert_allclose(estimate.deviation, textbook.m, atol=1e-7)
        np.testing.assert_allclose(estimate.covariance, textbook.P, rtol=1e-4, atol=1e-10)
    assert textbook.linearised > count  # slopes were found again on the way


def test_the_kernels_say_the_same_as_plain_python():
    system = two_links()
    estimator = ParameterEstimator(system, np.full(4, 1e-3))
    learnable = Learnable.of(system, 0.1, 1.0)
    lower, upper = learnable.limits(system.p)
    plant, estimate = readable_plant_of(system), estimator.prior()
    heavier = system.with_parameters(payload=1.5)
    for x, controls, seconds, after in motions(system, heavier, 5):
        motion = Motion(x, controls, seconds, after, system.p)
        P = estimate.covariance + 1e-4 * seconds.sum()
        known = plant, motion, learnable.widths, np.full(4, 1e-6)
        said = predict(*known, estimate.deviation, P)
        found = correct(*known, lower, upper, said.linearised, estimate.deviation, P)
        estimate = estimator.update(estimate, x, controls, seconds, after)
        np.testing.assert_allclose(estimate.deviation, found[0], rtol=1e-7)
        np.testing.assert_allclose(estimate.covariance, found[1], rtol=1e-5)


def test_warming_up_compiles_every_kernel_also_of_a_plant_that_falls_from_zero(monkeypatch):
    called = set()

    def noted(kernel):
        return lambda *values: called.add(kernel) or compiled(kernel)(*values)

    monkeypatch.setattr('trc_core.flight.adaptation.compiled', noted)
    ParameterEstimator(two_links(), np.full(4, 1e-6)).warm_up()
    assert called == {predict, correct}


def test_a_plant_that_becomes_another_one_is_learned_anew():
    system = get_system('cartpole')
    estimator = ParameterEstimator(system)
    estimate = estimator.prior()
    for motion in motions(system, system, 200):
        estimate = estimator.update(estimate, *motion)
    heavier = system.with_parameters(cart_mass=1.8)
    for motion in motions(system, heavier, 60, seed=2):
        estimate = estimator.update(estimate, *motion)
    np.testing.assert_allclose(estimator.parameters(estimate), heavier.p, rtol=0.05)


def test_noise_that_was_announced_does_not_mislead():
    system, noise = get_system('cartpole'), 0.01
    estimator = ParameterEstimator(system, noise=np.full(4, noise))
    estimate = estimator.prior()
    for motion in motions(system, system, 300, noise):
        estimate = estimator.update(estimate, *motion)
    deviations = estimate.deviation / np.sqrt(np.diag(estimate.covariance))
    assert np.abs(deviations).max() < 4.0
    assert np.abs(estimate.deviation).max() < 0.1


def test_a_push_is_no_reason_to_think_differently():
    system = get_system('cartpole')
    estimator = ParameterEstimator(system)
    estimate = estimator.prior()
    x, controls, seconds, after = next(motions(system, system, 1))
    for strange in (after + np.array([0.0, 1.0, 0.0, 0.0]), np.full(4, np.nan)):
        after_it = estimator.update(estimate, x, controls, seconds, strange)
        np.testing.assert_array_equal(after_it.deviation, estimate.deviation)
        np.testing.assert_array_equal(after_it.covariance, estimate.covariance)
        assert after_it.is_adopted == estimate.is_adopted


def test_no_parameter_leaves_its_limit():
    system = get_system('van_der_pol')
    estimator = ParameterEstimator(system, uncertainty=1.0, limit=0.2)
    estimate = estimator.prior()
    for motion in motions(system, in_error(system, 0.9), 50):
        estimate = estimator.update(estimate, *motion)
    assert np.exp(estimate.deviation) == pytest.approx([1.2])


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('double_integrator', {}, "nothing to learn: system 'double_integrator'"),
        ('cartpole', {'noise': [0.1, 0.1]}, 'give 4 positive numbers'),
        ('cartpole', {'uncertainty': 0.0}, 'uncertainty is 0.0'),
        ('cartpole', {'limit': -1.0}, 'limit is -1.0'),
        ('cartpole', {'drift': -1.0}, 'drift is -1.0'),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        ParameterEstimator(get_system(name), **options)


def test_with_every_parameter_and_the_gain_wrong_only_who_learns_keeps_the_pole_up():
    controller = Controller.load('cartpole', cycles=1)
    system = controller.system
    rows = [5, 14, 38]
    x0, goal = (a[rows] for a in fresh_problems(system, 40))
    plant = PerturbedPlant.with_error(system, 0.05)
    stubborn = fly_all(lambda: controller.plan, system, plant, x0, goal)
    able = controller.with_input_gains()
    learned = fly_all(lambda: learning(able), system, plant, x0, goal)
    assert not stubborn.held.any()
    assert learned.held.all() and not learned.fallen.any()
    assert learned.cost.max() < 2000.0 < stubborn.cost.min()


def test_a_pendulum_whose_motor_is_weaker_than_its_model_comes_up():
    # The optimum leans on the bounds: with a tenth less to give, each plan just fails.
    controller = Controller.load('pendulum', cycles=1)
    system = controller.system
    x0, goal = (a[:4] for a in fresh_problems(system, 4))
    plant = PerturbedPlant.with_error(system, 0.05)
    able = controller.with_input_gains()
    stubborn = fly_all(lambda: controller.plan, system, plant, x0, goal)
    learned = fly_all(lambda: learning(able), system, plant, x0, goal)
    assert not stubborn.held.all()
    assert learned.held.all() and not learned.fallen.any()


def flights_error(controller, plant, noise=0.0, delay=0):
    """The last estimate of a flight, and whether it was ever adopted."""
    system, rng = controller.system, np.random.default_rng(3)
    estimator = ParameterEstimator(system)
    estimate, x, plan, ever = estimator.prior(), 0.5 * system.x0_box, None, False
    under_way = [system.u_trim] * delay
    seen = None
    for _ in range(system.horizon):
        before, seen = seen, x + noise * system.x0_box * rng.standard_normal(system.n_x)
        if before is not None:
            dt = np.array([system.dt])
            estimate = estimator.update(estimate, before, plan.controls[:1], dt, seen)
        ever = ever or estimate.is_adopted
        p = estimator.parameters(estimate)
        plan = controller.plan(seen, system.goal_centre, plan, p=p)
        under_way.append(plan.controls[0])
        x = plant.step(x, under_way.pop(0))
    return estimate, ever


@pytest.mark.parametrize('name', ['cartpole', 'pendulum'])
def test_what_is_learned_is_flown_with_only_where_it_explains_the_motion(name):
    able = Controller.load(name, cycles=1).with_input_gains()
    system = able.system
    weaker = in_error(system, 0.05)
    estimate, adopted = flights_error(able, weaker)
    assert adopted
    assert estimate.error < 0.5 * estimate.model_error
    # Late commands are not what the filter can learn, so that it must not be believed.
    estimate, adopted = flights_error(able, system, delay=1)
    assert not adopted
    assert np.abs(estimate.deviation).max() > 0.01  # it was misled


def test_a_plant_that_is_held_is_not_taken_for_one_with_weak_motors():
    able = Controller.load('double_integrator').with_input_gains()
    system, period = able.system, 0.02
    estimator = ParameterEstimator(system)
    estimate, held, u = estimator.prior(), np.array([0.5, 0.0]), np.zeros(1)
    own = able.plan(held, system.goal_centre).controls[0]
    for _ in range(500):  # the command sets in slowly, so that little is amiss at first
        p = estimator.parameters(estimate)
        asked = able.plan(held, system.goal_centre, p=p).controls[0]
        u = u + np.clip(asked - u, -0.02, 0.02)
        estimate = estimator.update(estimate, held, u[None], np.array([period]), held)
    assert np.exp(estimate.deviation) == pytest.approx([0.5])  # the filter was misled
    np.testing.assert_allclose(u, own)


def test_parameters_that_the_dynamics_do_not_read_are_left_alone():
    system = Controller.classical(get_system('bicycle_circles')).with_input_gains().system
    estimator = ParameterEstimator(system)
    assert set(estimator.names) <= {'wheelbase', 'acceleration_gain', 'steering_rate_gain'}
    estimate = estimator.prior()
    for motion in motions(system, in_error(system, 0.1), 20):
        estimate = estimator.update(estimate, *motion)
    others = [i for i, name in enumerate(system.parameters) if name not in estimator.names]
    assert not estimate.deviation[others].any()
    assert np.isfinite(estimator.parameters(estimate)).all()


def test_a_parameter_that_is_told_is_not_learned_a_second_time():
    system = get_system('cartpole')
    told = system.with_parameters(cart_mass=1.6)
    estimator = ParameterEstimator(system)
    estimate = estimator.prior()
    for motion in motions(system, told, 50):
        estimate = estimator.update(estimate, *motion, model=told.p)
    np.testing.assert_allclose(estimator.parameters(estimate, told.p), told.p, rtol=1e-6)


def test_the_pilot_learns_from_a_plant_that_obeys_late():
    controller = Controller.load('cartpole')
    controller.warm_up()
    system, period, delay, fine = controller.system, 0.02, 0.06, 0.01
    plant, time, x = in_error(system, 0.1), 0.0, np.array([0.2, 0.0, 0.15, 0.0])
    monitor = SafetyMonitor(system, Settings(CommandLimits.of(system), state_timeout=0.2))
    pilot = Pilot(controller, monitor, period, lambda: time, delay, ParameterEstimator(system))
    under_way = [system.u_trim] * round(delay / fine)
    for k in range(100):
        goal = np.array([0.5 * (k % 50 < 25), 0.0, 0.0, 0.0])
        command = pilot.fly(Measurement(x, time), goal).control
        for _ in range(round(period / fine)):
            under_way.append(command)
            x, time = plant.step(x, under_way.pop(0), fine), time + fine
    seen = [0, 1, 3]  # the mass of the pole hardly shows
    assert pilot.parameters[seen] == pytest.approx(plant.p[seen], rel=0.02)
    pilot.reset()
    assert pilot.parameters == pytest.approx(system.p)


@pytest.mark.parametrize('backend', ['numba', 'numpy'])
def test_a_plan_for_other_parameters_is_one_of_that_plant(backend):
    controller = Controller.load('cartpole', backend, cycles=1)
    plant, x, goal = in_error(controller.system, 0.2), [0.2, 0.0, 0.1, 0.0], np.zeros(4)
    plan = controller.plan(x, goal, p=plant.p, polish=1)
    again = controller.plan(plan.states[1], goal, warm_start=plan, p=plant.p)
    for one in (plan, again):
        for t in range(controller.system.horizon):
            found = plant.step(one.states[t], one.controls[t])
            np.testing.assert_allclose(one.states[t + 1], found, atol=1e-9)
    assert plan.cost <= min(plan.candidates.values())
    with pytest.raises(ValueError, match='p has shape'):
        controller.plan(x, goal, p=[1.0])


def test_a_backend_with_fixed_physics_says_so():
    controller = Controller.load('van_der_pol', 'torch')
    with pytest.raises(ValueError, match="those of a single plan need 'numba' or 'numpy'"):
        controller.plan([1.0, 0.0], [0.0, 0.0], p=[1.2])
