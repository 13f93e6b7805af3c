import numpy as np
import pytest

pytest.importorskip('rclpy')

from tests.crane_flight import CRANE
from trc_core import get_system


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of a plant whose file is gone."""
    torch = pytest.importorskip('torch')
    from trc_core.models.persistence import save_model
    from trc_core.models.plan_representation import stabilised
    from trc_core.models.tiny_recursive_control import TinyRecursiveControl

    file = tmp_path / 'crane.py'
    file.write_text(CRANE.replace('0),)', "0), Joint('cable', 1, 3))"))
    system = get_system(str(file))
    torch.manual_seed(0)
    sizes = {'latent_dim': 16, 'hidden_dim': 16, 'num_heads': 0, 'use_two_level': True}
    model = TinyRecursiveControl.for_system(system, stabilised(system), **sizes)
    path = save_model(tmp_path / 'crane.safetensors', model, system)
    file.unlink()
    return path


def test_a_plant_and_its_controller_need_nothing_but_the_checkpoint(
    start, make_probe, namespace, checkpoint
):
    probe = make_probe(namespace, 'cart')
    common = ('-r', f'__ns:={namespace}', '-p', f'system:={checkpoint}')
    start('plant', *common, '-p', 'initial_state:=[1.0, 0.3, 0.0, 0.0]')
    node = start('controller', *common, '-p', 'initial_goal:=[0.0, 0.0, 0.0, 0.0]')
    probe.require(lambda: probe.log.command, 'command', 120)
    values = np.array([entry.message.data[0] for entry in probe.log.command])
    assert np.isfinite(values).all() and np.abs(values).max() <= 8.0
    assert 'my_crane' in node.log()
