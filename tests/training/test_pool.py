"""The pool: rows are renewed in turn, closed loops are flown on plants that differ."""

import numpy as np
import pytest
import torch

from trc_core.systems import get_system
from trc_core.systems.draws import drawn_problem, drawn_states
from trc_core.training import pool
from trc_core.training.cost_trainer import CostTraining, CostTrainingConfig
from trc_core.training.plants import PlantFamily, parameter_grid
from trc_core.training.pool import Pool

DRAW = drawn_states


def stage(**settings):
    """A training stage without its trainer: a module, its plants and its pool."""
    config = CostTrainingConfig(latent_dim=16, hidden_dim=16, batch_size=12, **settings)
    module = CostTraining(config)
    module.log = lambda *_, **__: None
    grid = parameter_grid(config.limits, points=3)
    module.plants = PlantFamily(module.system, module.model.representation, grid)
    module.pool = Pool(module.plants, config.pool, seed=0)
    return module


def test_every_row_gets_a_new_problem_after_the_cycles_it_is_carried():
    module = stage()
    seen = []
    for _ in range(7):
        before = module.pool.x0.clone()
        module.training_step(None, 0)
        seen.append((module.pool.x0 != before).any(1))
    assert seen[0].all()
    assert all(mask.sum() == 4 for mask in seen[1:])
    assert torch.equal(seen[1], seen[4]) and (seen[1] | seen[2] | seen[3]).all()


def test_states_come_from_the_widened_box():
    module = stage(box=3.0)
    module.pool.renew()
    assert (module.pool.x0.abs() > torch.from_numpy(module.system.x0_box)).any()


def test_problems_are_those_that_a_shipped_system_says_should_be_learned_from(monkeypatch):
    car, module = get_system('bicycle_circles'), stage()
    rng = np.random.default_rng(3)
    learned = [drawn_problem(car, rng, learning=True)[0] for _ in range(4)]
    own, _ = drawn_states(car, np.random.default_rng(3), 4)
    found, _ = drawn_states(car, np.random.default_rng(3), 4, learning=True)
    np.testing.assert_array_equal(found, learned)
    assert not np.array_equal(found, own)
    asked = []
    monkeypatch.setattr(pool, 'drawn_states', lambda *a, **kw: asked.append(kw) or DRAW(*a, **kw))
    module.pool.renew()
    assert asked == [{'learning': True}]


@pytest.mark.parametrize('receding_share', [0.0, 0.5])
@pytest.mark.parametrize('representation', ['stabilised', 'open_loop'])
def test_steps_have_finite_gradients(receding_share, representation):
    module = stage(
        receding_share=receding_share,
        representation=representation,
        ranges={'mu': [0.5, 1.5]},
        ladder=(1.0, 10.0),
    )
    for _ in range(4):
        loss = module.training_step(None, 0)
        module.zero_grad()
        loss.backward()
        gradients = [p.grad for p in module.model.parameters() if p.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


def test_closed_loops_move_on_and_their_latents_start_anew():
    module = stage(receding_share=0.5)
    module.training_step(None, 0)
    pool, loops = module.pool, module.pool.receding
    assert loops.sum() == 6
    fresh = torch.stack(module.model.initial_latents(module.model.problem(pool.x0, pool.goal)))
    anew = (torch.stack(pool.latents) == fresh).all(2).all(0)
    assert torch.equal(anew, loops)
    assert torch.equal(pool.iterate.states[:, 0], pool.x0)


def test_a_lost_loop_begins_a_new_problem():
    module = stage(receding_share=0.5)
    module.training_step(None, 0)
    module.pool.lost[11] = True
    assert 11 in module.pool.renew()
