"""PyTorch compiles and exports the model whole, and the plans stay the same."""

import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.random_models import randomised
from trc_core import SYSTEMS
from trc_core.models import TinyRecursiveControl, TRCConfig
from trc_core.models.persistence import load_model
from trc_core.models.plan_representation import stabilised

pytestmark = pytest.mark.long

TINY = {  # the compiler takes seconds per block and cycle
    'latent_dim': 8,
    'hidden_dim': 8,
    'num_heads': 2,
    'H_cycles': 2,
    'L_cycles': 1,
    'L_layers': 1,
    'num_outer_cycles': 2,
    'num_inner_cycles': 1,
    'num_reasoning_blocks': 1,
}
PARITY = {'rtol': 1e-5, 'atol': 1e-5}


def drift(state, controls):
    """A plant that a user might write: returns the trajectory."""
    pushes = torch.cat([torch.zeros_like(controls[:, :1]), controls], 1)
    return state[:, None] + 0.1 * pushes.cumsum(1)


class Case(torch.nn.Module):
    """A model with its dynamics, as an exporter wants it: tensors in, a tensor out."""

    def __init__(self, model, dynamics_fn):
        super().__init__()
        self.model = model
        self.dynamics_fn = dynamics_fn

    def forward(self, x, goal):
        output = self.model(x, goal, dynamics_fn=self.dynamics_fn, return_all_iterations=True)
        return output['all_controls'] + output['all_plans']


def cases():
    system = SYSTEMS['double_integrator']
    two_level = {'use_two_level': True}
    seen = {'feedback': ('terminal', 'trajectory', 'gradient')}
    return {
        'two-level': (TRCConfig(**TINY, **two_level), None, None),
        'single-latent': (TRCConfig(**TINY), None, drift),
        'horizon tokens': (TRCConfig(**TINY, **two_level, tokens='horizon'), None, drift),
        'system': (TRCConfig(**TINY, **two_level, **seen), stabilised(system), system),
    }


MORE = ('single-latent', 'horizon tokens')


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.long] * (name in MORE)) for name in cases()]
)
def case(request):
    config, representation, dynamics_fn = cases()[request.param]
    return Case(randomised(TinyRecursiveControl(config, representation)), dynamics_fn)


@pytest.fixture
def states():
    x0, goal = SYSTEMS['double_integrator'].sample(np.random.default_rng(0), 4)
    return torch.from_numpy(x0).float(), torch.from_numpy(goal).float()


def test_the_model_compiles_without_a_graph_break(case, states):
    torch.compiler.reset()
    graph = torch.compile(case, fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(graph(*states), case(*states), **PARITY)


def test_the_model_compiles_for_training(case, states):
    torch.compiler.reset()
    case.model.config.use_gradient_truncation = True
    case.train()
    gradients = []
    for function in (case, torch.compile(case, fullgraph=True, backend='aot_eager')):
        case.zero_grad()
        function(*states).square().sum().backward()
        gradients.append({n: p.grad for n, p in case.named_parameters() if p.grad is not None})
    eager, compiled = gradients
    assert eager
    assert set(eager) == set(compiled)
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-4, msg=name)


def test_the_exported_program_plans_the_same_for_other_states(case, states):
    program = torch.export.export(case, states, strict=False)
    x, goal = (0.5 * a.flip(0) for a in states)
    torch.testing.assert_close(program.module()(x, goal), case(x, goal), **PARITY)


@pytest.mark.skipif(
    not (shutil.which('g++') and Path(sysconfig.get_path('include'), 'Python.h').exists()),
    reason='PyTorch makes machine code with g++ and the headers of Python',
)
def test_machine_code_of_a_shipped_controller_plans_the_same():
    torch.compiler.reset()
    model, checkpoint = load_model('double_integrator')
    case = Case(model, checkpoint.system)
    model.config.H_cycles = 1  # the compiler takes minutes for more
    x0, goal = map(torch.from_numpy, checkpoint.system.sample(np.random.default_rng(0), 8))
    graph = torch.compile(case, fullgraph=True)
    torch.testing.assert_close(graph(x0, goal), case(x0, goal), **PARITY)
