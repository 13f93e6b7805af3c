"""Records of systems: a file holds the equations, and they decide."""

import json
from dataclasses import replace

import casadi as ca
import numpy as np
import pytest
import sympy as sp

from trc_core.compile.binding import plant_of
from trc_core.problem.comparison import same_dynamics
from trc_core.problem.record import system_from_record, system_record
from trc_core.systems import SYSTEMS, Joint, System
from trc_core.systems.double_integrator import multi_axis
from trc_core.systems.registry import system_of_record


def casadi_dynamics(x, u, length, friction):
    slip = ca.if_else(ca.fabs(x[1]) < 0.1, x[1] / 0.1, ca.sign(x[1]))
    return ca.vertcat(x[1], 9.81 / length * ca.sin(x[0]) - friction * slip + u[0])


IN_CASADI = System(
    name='dry_pendulum',
    dynamics=casadi_dynamics,
    state_names=('angle', 'rate'),
    state_units=('rad', 'rad/s'),
    control_names=('torque',),
    control_units=('N m',),
    joints=(Joint('hinge', 0, 1, 0), Joint('stand')),
    dt=0.05,
    horizon=20,
    u_min=[-5.0],
    u_max=[4.0],
    u_trim=[0.5],
    Q=[[10.0, 1.0], [1.0, 1.0]],
    Q_f=[30.0, 2.0],
    R=[0.1],
    x0_box=[1.0, 1.0],
    goal_box=[0.5, 0.0],
    parameters={'length': 1.3, 'friction': 0.2},
    substeps=2,
)
PLANTS = [*SYSTEMS.values(), multi_axis(2), IN_CASADI]
every_plant = pytest.mark.parametrize('system', PLANTS, ids=lambda s: s.name)
PENDULUM = SYSTEMS['pendulum']


def stored(system):
    """The record as it comes back from a file."""
    return json.loads(json.dumps(system_record(system)))


@every_plant
def test_a_record_gives_the_whole_system_back(system):
    record = stored(system)
    again = system_from_record(record)
    assert again.contract() == system.contract() and again.joints == system.joints
    assert again.graph.digest == system.graph.digest
    assert stored(again) == record
    rng = np.random.default_rng(0)
    x, _ = system.sample(rng, 20)
    u = rng.uniform(system.u_min, system.u_max, (20, system.n_u))
    np.testing.assert_array_equal(again.step(x, u), system.step(x, u))
    for M, N in zip(
        again.step_jacobian(x[0], u[0]), system.step_jacobian(x[0], u[0]), strict=True
    ):
        np.testing.assert_array_equal(M, N)
    assert plant_of(again).dynamics.step == plant_of(system).dynamics.step


@every_plant
def test_parameters_of_a_recorded_system_can_be_changed(system):
    changed = {name: 1.1 * value for name, value in system.parameters.items()}
    again = system_from_record(stored(system)).with_parameters(**changed)
    x, u = 0.3 * system.x0_box, system.u_trim + 0.1
    np.testing.assert_array_equal(again.step(x, u), system.with_parameters(**changed).step(x, u))


def pendulum_like(dynamics):
    return replace(PENDULUM, dynamics=dynamics)


SAME = {
    'SymPy': lambda x, u, gravity, damping: [
        x[1],
        u[0] + gravity * sp.sin(x[0]) - x[1] * damping,
    ],
    'CasADi': lambda x, u, gravity, damping: ca.vertcat(
        x[1], u[0] + gravity * ca.sin(x[0]) - x[1] * damping
    ),
    'other words': lambda x, u, gravity, damping: [
        1.0 * x[1],
        2 * gravity * np.sin(x[0] / 2) * np.cos(x[0] / 2) + (u[0] - damping * x[1]),
    ],
}
OTHER = {
    'sign': lambda x, u, gravity, damping: [x[1], -gravity * np.sin(x[0]) - damping * x[1] + u[0]],
    'linear': lambda x, u, gravity, damping: [x[1], gravity * x[0] - damping * x[1] + u[0]],
    'parameter': lambda x, u, gravity, damping: [x[1], gravity * np.sin(x[0]) + u[0]],
    'control': lambda x, u, gravity, damping: [x[1], gravity * np.sin(x[0]) - damping * x[1]],
    'slightly': lambda x, u, gravity, damping: [
        x[1],
        1.0001 * gravity * np.sin(x[0]) - damping * x[1] + u[0],
    ],
    'nowhere': lambda x, u, gravity, damping: [x[1], np.log(-1.0 - x[0] ** 2) + u[0]],
}


@pytest.mark.parametrize('text', SAME)
def test_the_same_equations_in_another_notation_are_accepted(text):
    given = pendulum_like(SAME[text])
    assert same_dynamics(given, PENDULUM) and same_dynamics(PENDULUM, given)
    system = system_of_record(stored(PENDULUM), given)
    assert system.graph.digest == PENDULUM.graph.digest  # those of the file


@pytest.mark.parametrize('text', OTHER)
def test_other_equations_are_refused(text):
    given = pendulum_like(OTHER[text])
    assert not same_dynamics(given, PENDULUM)
    with pytest.raises(
        ValueError, match="made with other equations than those of 'pendulum' here"
    ):
        system_of_record(stored(PENDULUM), given)


def test_a_given_system_may_differ_in_its_numbers_but_those_of_the_record_hold():
    given = replace(PENDULUM.with_parameters(gravity=1.62), u_max=[9.0])
    assert system_of_record(stored(PENDULUM), given).contract() == PENDULUM.contract()


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (SYSTEMS['van_der_pol'], "made for the system 'pendulum', not for 'van_der_pol'"),
        (
            replace(PENDULUM, state_names=('angle', 'speed')),
            r"state_names of 'pendulum' are \['angle', 'speed'\] here but \['angle', 'rate'\]",
        ),
        (replace(PENDULUM, control_units=('N',)), "control_units of 'pendulum' are"),
        (
            replace(
                PENDULUM,
                parameters={'gravity': 9.81},
                dynamics=lambda x, u, gravity: [x[1], gravity * np.sin(x[0]) - 0.1 * x[1] + u[0]],
            ),
            'made with other equations',
        ),
    ],
)
def test_another_system_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        system_of_record(stored(PENDULUM), given)


def test_a_record_without_equations_takes_those_of_the_system_here():
    record = SYSTEMS['cartpole'].with_parameters(pole_mass=0.3).contract()  # of version 1
    for given in (None, SYSTEMS['cartpole']):
        system = system_of_record(json.loads(json.dumps(record)), given)
        assert system.contract() == record
        assert system.graph.digest == SYSTEMS['cartpole'].graph.digest
    with pytest.raises(ValueError, match="unknown system 'my_robot'"):
        system_of_record({**record, 'name': 'my_robot'})
    with pytest.raises(ValueError, match="made for the system 'cartpole', not for 'pendulum'"):
        system_of_record(record, PENDULUM)


def equations(**changes):
    record = stored(PENDULUM)
    return {**record, 'dynamics': {**record['dynamics'], **changes}}


FIRST, SECOND = stored(PENDULUM)['dynamics']['outputs']['dynamics']


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        (equations(inputs={'x': 3, 'u': 1, 'p': 2}), r"take .*3.* where 'pendulum' has"),
        (equations(inputs={'u': 1, 'x': 2, 'p': 2}), r"take .* where 'pendulum' has"),
        (equations(inputs={'x': 2, 'u': 1, 'p': 2, 'q': 0}), r"take .* where 'pendulum' has"),
        (equations(inputs={'x': 2, 'u': 3}), r"take .* where 'pendulum' has"),
        (equations(outputs={'dynamics': [FIRST]}), "give {'dynamics': 1} where .* has 2 states"),
        (equations(outputs={'step': [FIRST, SECOND]}), "give {'step': 2} where 'pendulum' has"),
        (
            equations(outputs={'dynamics': [FIRST, SECOND], 'more': [FIRST]}),
            "give {'dynamics': 2, 'more': 1} where 'pendulum' has",
        ),
        (equations(instructions=[['system', 'rm']]), "has the unknown operation 'system'"),
        ({**stored(PENDULUM), 'dynamics': 'import os'}, 'a graph has the parts'),
        ({**stored(PENDULUM), 'u_min': [9.0]}, "system 'pendulum': u_min must lie below u_max"),
        ({**stored(PENDULUM), 'dt': 0.0}, 'dt and horizon must be positive'),
        ({**stored(PENDULUM), 'joints': [['pivot', 7]]}, "position of joint 'pivot' is 7"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused_in_one_line(record, message):
    with pytest.raises(ValueError, match=message) as error:
        system_from_record(record)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('part', ['dynamics', 'joints', 'name', 'dt', 'Q', 'parameters'])
def test_a_missing_part_is_named(part):
    record = stored(PENDULUM)
    del record[part]
    with pytest.raises(KeyError, match=part):
        system_from_record(record)
