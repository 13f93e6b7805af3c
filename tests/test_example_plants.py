"""The textbook plants of `examples/plants` obey the physics that their docstrings name."""

from pathlib import Path

import numpy as np
import pytest

from trc_core import Controller, get_system

FOLDER = Path(__file__).parents[1] / 'examples' / 'plants'
PATHS = sorted(FOLDER.glob('*.py'))
G = 9.81


def plant(name):
    return get_system(str(FOLDER / f'{name}.py'))


def velocity(place, q, rates):
    """The velocity of a place that depends on joint angles, by central differences."""
    h = 1e-6
    return (place(q + h * rates) - place(q - h * rates)) / (2.0 * h)


def arm_energy(x):
    """Two point masses of 1 kg, where their joints put them."""

    def first(q):
        return np.array([np.cos(q[0]), np.sin(q[0])])

    def second(q):
        return first(q) + np.array([np.cos(q[0] + q[1]), np.sin(q[0] + q[1])])

    q, rates = x[:2], x[2:]
    moving = sum(0.5 * np.sum(velocity(place, q, rates) ** 2) for place in (first, second))
    return moving + G * (first(q)[1] + second(q)[1])


def acrobot_energy(x):
    """Two links with centres in their middle and 1 kg m^2 about them; angles from upright."""

    def first(q):
        return 0.5 * np.array([np.sin(q[0]), np.cos(q[0])])

    def second(q):
        return 2.0 * first(q) + 0.5 * np.array([np.sin(q[0] + q[1]), np.cos(q[0] + q[1])])

    q, rates = x[:2], x[2:]
    moving = sum(0.5 * np.sum(velocity(place, q, rates) ** 2) for place in (first, second))
    turning = 0.5 * (rates[0] ** 2 + rates.sum() ** 2)
    return moving + turning + G * (first(q)[1] + second(q)[1])


def furuta_energy(x):
    """An arm of 0.2 m, and a uniform rod of 0.3 m and 0.1 kg that swings across its end."""
    q, rates = x[:2], x[2:]
    energy = 0.5 * 0.002 * rates[0] ** 2
    for share in 0.5 + np.array([-0.5, 0.5]) / np.sqrt(3.0):  # Gauss: exact for squares

        def place(q, s=0.3 * share):
            across = -s * np.sin(q[1])
            return np.array(
                [
                    0.2 * np.cos(q[0]) - across * np.sin(q[0]),
                    0.2 * np.sin(q[0]) + across * np.cos(q[0]),
                    s * np.cos(q[1]),
                ]
            )

        energy += 0.05 * (0.5 * np.sum(velocity(place, q, rates) ** 2) + G * place(q)[2])
    return energy


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_a_plant_is_read_in_a_minute_and_flies_without_training(path):
    system, text = get_system(str(path)), path.read_text()
    assert system.name == path.stem and f'trc train --system {path.name}' in text
    assert len(text.splitlines()) < 60
    x, goal = (states[0] for states in system.sample(np.random.default_rng(1), 1))
    plan = Controller.classical(system).plan(x, goal)
    assert plan.cost <= min(plan.candidates.values()) and plan.warnings == ()


@pytest.mark.parametrize(
    ('name', 'energy', 'driven'),
    [
        ('two_link_arm', arm_energy, [0, 1]),
        ('acrobot', acrobot_energy, [1]),
        ('furuta_pendulum', furuta_energy, [0]),
    ],
)
def test_the_energy_of_a_mechanism_changes_by_the_power_of_its_motors(name, energy, driven):
    system, rng = plant(name), np.random.default_rng(2)
    for _ in range(5):
        x = rng.normal(size=4)
        u = rng.uniform(system.u_min, system.u_max)
        rate, h = system.derivative(x, u), 1e-5
        change = (energy(x + h * rate) - energy(x - h * rate)) / (2.0 * h)
        assert change == pytest.approx(u @ x[2:][driven], rel=1e-4, abs=1e-4)


def test_water_is_neither_made_nor_lost_and_stands_still_where_the_pump_makes_up_for_it():
    tanks = plant('connected_tanks')
    level, pump = np.array([2.5, 3.5]), np.array([0.03])
    out = 0.004 * np.sqrt(2.0 * G * level[1])
    assert 0.5 * tanks.derivative(level, pump).sum() == pytest.approx(pump[0] - out)
    still = np.array([3.0, 3.0])
    np.testing.assert_allclose(tanks.derivative(still, tanks.trims(still)), 0.0, atol=1e-9)


def test_a_unicycle_at_constant_controls_drives_on_a_circle():
    unicycle, x = plant('unicycle'), np.array([0.3, -0.2, 0.5])
    centre, angle = x[:2] + 2.0 * np.array([-np.sin(0.5), np.cos(0.5)]), 0.5
    for _ in range(20):
        x, angle = unicycle.step(x, [0.8, 0.4]), angle + 0.4 * 0.1
        place = centre + 2.0 * np.array([np.sin(angle), -np.cos(angle)])
        np.testing.assert_allclose(x, [*place, angle], atol=1e-6)
