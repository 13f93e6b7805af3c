"""The parameters of the node `plant`."""

from __future__ import annotations

from trc_core.simulation import PLANTS
from trc_ros.parameters.specs import PLANT, Spec
from trc_ros.plant.faults import FAULTS

PLANT_SPECS: tuple[Spec, ...] = (
    Spec(
        'simulation_rate',
        500.0,
        'Integration steps per second [Hz]. A plant in discrete time takes one per dt.',
        PLANT,
        bounds=(1.0, 1e4),
    ),
    Spec('state_rate', 100.0, 'States published per second [Hz].', PLANT, bounds=(0.1, 1e3)),
    Spec(
        'measurement_noise',
        0.0,
        'Standard deviation of the noise on every published coordinate, in its own unit.',
        PLANT,
        bounds=(0.0, 1e6),
        live=True,
    ),
    Spec(
        'measurement_bias',
        (),
        'Constant error of every published coordinate, in its own unit: a mass that is not what '
        'the controller is told. If empty, there is none.',
        PLANT,
        live=True,
    ),
    Spec(
        'initial_state',
        (),
        'State at start and after ~/reset. If empty, it is drawn from the initial box of '
        'the system.',
        PLANT,
        live=True,
    ),
    Spec(
        'seed', 0, 'Seed of initial states, noise and disturbance.', PLANT, bounds=(0, 2**31 - 1)
    ),
    Spec(
        'wait_for_command',
        True,
        'Whether the plant rests in its initial state until the first command. With false '
        'it moves under u_trim.',
        PLANT,
    ),
    Spec(
        'plant_backend',
        'system',
        "Source of the equations of motion: 'system' (the model's own) or 'mujoco' (robots from "
        'a URDF or MJCF, and the cart-poles).',
        PLANT,
        choices=tuple(PLANTS),
    ),
    Spec(
        'parameter_error',
        0.0,
        'Share by which every physical parameter of the plant is larger than in the model.',
        PLANT,
        bounds=(-0.9, 10.0),
    ),
    Spec('input_gain', 1.0, 'Factor on every command.', PLANT, bounds=(-10.0, 10.0)),
    Spec(
        'actuation_delay',
        0.0,
        'Time from a command to its effect [s], in whole integration steps.',
        PLANT,
        bounds=(0.0, 10.0),
    ),
    Spec(
        'disturbance',
        0.0,
        "Standard deviation of a random force on every control, as a share of the control's "
        'range. It is drawn anew every dt of the system.',
        PLANT,
        bounds=(0.0, 10.0),
    ),
    Spec(
        'disturbance_bias',
        0.0,
        "Constant force on every control, as a share of the control's range.",
        PLANT,
        bounds=(-10.0, 10.0),
    ),
    Spec(
        'misalignment',
        0.0,
        'Angle by which a command that is a vector, as a thrust is, points elsewhere [rad], about '
        'an axis drawn at random.',
        PLANT,
        bounds=(0.0, 3.2),
    ),
    Spec(
        'fault',
        '',
        "Fault of the published states. Setting it injects the fault, and '' ends it.",
        PLANT,
        choices=(*FAULTS, ''),
        live=True,
    ),
    Spec(
        'fault_duration',
        0.0,
        'Duration of the next fault [s]. With 0 it lasts until it is cleared.',
        PLANT,
        bounds=(0.0, 86400.0),
        live=True,
    ),
    Spec(
        'publish_clock',
        False,
        'Whether the time of the plant is published on /clock, for use_sim_time.',
        PLANT,
    ),
    Spec(
        'lockstep',
        False,
        'Whether plant and controller take turns: the plant publishes a state and /clock, '
        'waits for a command, and integrates one period.',
        PLANT,
    ),
    Spec(
        'lockstep_timeout',
        1.0,
        'Wall-clock time to wait for a command in lock-step before the next turn [s].',
        PLANT,
        bounds=(0.01, 3600.0),
    ),
    Spec(
        'speed',
        0.0,
        'Largest number of simulated seconds per second in lock-step. With 0 there is no limit.',
        PLANT,
        bounds=(0.0, 1000.0),
    ),
)
