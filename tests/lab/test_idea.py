"""The picture of the idea shows what a real plan call does."""

import numpy as np
import pytest

from trc_core import Controller
from trc_core.lab import idea

pytestmark = pytest.mark.long


@pytest.fixture(scope='module')
def story():
    return idea.tell()


def test_every_candidate_of_the_picture_flies_as_the_system_says(story):
    for controls, states in zip(story.controls, story.states, strict=True):
        x = states[0]
        for u, predicted in zip(controls[:20], states[1:], strict=False):
            x = story.system.step(x, u)
            np.testing.assert_allclose(x, predicted, rtol=1e-9, atol=1e-9)


def test_the_cost_in_the_picture_falls_to_that_of_the_controller(story):
    plan = Controller.load(idea.CHECKPOINT, tolerance=0.0).plan(idea.START, np.zeros(4))
    assert story.best[0] == story.costs.min()
    assert np.all(np.diff(story.best) < 0.0)
    assert story.best[-1] == pytest.approx(plan.cost, rel=1e-6)
    np.testing.assert_allclose(story.plan, plan.states, atol=1e-3)
    assert np.abs(story.plan[-1]).max() < 0.1  # the pole is up, the cart at rest


def test_the_picture_is_drawn_alike_each_time(story, tmp_path):
    pictures = [tmp_path / 'first.png', tmp_path / 'second.png']
    for path in pictures:
        idea.draw(story, path)
    first, second = (path.read_bytes() for path in pictures)
    assert first == second
    assert first.startswith(b'\x89PNG')
