"""A plant in discrete time from the file of a user of CasADi to its flight, by the commands."""

from pathlib import Path

import numpy as np
import pytest

from trc_core import Controller
from trc_core.commands import systems, train, warm_up
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings
from trc_core.simulation import Imperfections, make_plant

TANKS = str(Path(__file__).parents[1] / 'examples' / 'casadi_tanks.py')
TINY = [
    *('--verdict', 'false'),
    *('--stage', 'cost', '--latent_dim', '8', '--hidden_dim', '8', '--num_heads', '0'),
    *('--steps', '4', '--warmup_steps', '1', '--validation_states', '4', '--batch_size', '8'),
]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """What `trc train` makes of the file."""
    folder = tmp_path_factory.mktemp('tanks')
    train.main(['--system', TANKS, *TINY, '--output_dir', str(folder)])
    return str(folder / 'best_model.safetensors')


def test_the_commands_take_the_file(capsys):
    systems.main([TANKS])
    assert '60, discrete' in capsys.readouterr().out
    warm_up.main([TANKS])
    assert 'first plan of cost' in capsys.readouterr().out


@pytest.mark.parametrize('late', [0, 2])
def test_what_was_trained_flies_also_when_commands_take_whole_steps(checkpoint, late):
    controller = Controller.load(checkpoint)
    system, time = controller.system, 0.0
    assert system.discrete
    settings = Settings(CommandLimits.of(system), state_timeout=1e3)
    monitor = SafetyMonitor(system, settings, controller.lqr_plan)
    delay = late * system.dt
    pilot = Pilot(controller, monitor, system.dt, lambda: time, delay, deadline=np.inf)
    plant = make_plant('system', system, Imperfections(actuation_delay=delay))
    states, begun, goal = [plant.reset([0.2, 0.3])], [], np.array([0.45, 0.8])
    for tick in range(60):
        time = tick * system.dt
        decision = pilot.fly(Measurement(states[-1], time), goal)
        assert decision.state.value == 'active', decision.reason
        begun.append(monitor.accepted.plan.states[0])
        states.append(plant.step(decision.control))
    # Every plan began where the plant was when its command took effect.
    np.testing.assert_allclose(begun[: 60 - late], states[late:60], rtol=1e-12)
    np.testing.assert_allclose(states[-1], goal, atol=2e-3)
