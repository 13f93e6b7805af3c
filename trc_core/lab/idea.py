"""The picture of the idea: a network proposes plans, the dynamics judge them, cycles correct them.

python -m trc_core.lab.idea docs/images/idea.png
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch

matplotlib.use('Agg')  # no display needed

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from trc_core.checkpoint import load_checkpoint
from trc_core.models.persistence import model_of
from trc_core.models.search import Search
from trc_core.models.simulation import as_dynamics
from trc_core.problem.system import Array, System

CHECKPOINT = 'cartpole_swingup'
START = (0.3, 0.0, 2.8, 0.2)  # the pole hangs, nearly
CYCLES = 5
MORE_CYCLES = 20  # after which nothing is left to gain: the J* of the picture
FRAMES, STEPS_PER_FRAME, SPREAD = 14, 4, 2.1  # of the film; [m] between frames
SIZE = (11.8, 6.2)  # [inch]
INK, SOFT, QUIET, GRID, PAPER = '#22303c', '#5b6873', '#8a97a3', '#e6eaee', '#ffffff'
LOST, GOOD, CHOSEN = '#c3cbd3', '#7fb2f5', '#e8590c'
GOOD_WORDS = '#3f86d8'
STYLE: Any = {
    'axes.edgecolor': QUIET,
    'axes.facecolor': PAPER,
    'axes.grid': True,
    'axes.labelcolor': INK,
    'axes.spines.right': False,
    'axes.spines.top': False,
    'font.size': 11,
    'grid.color': GRID,
    'text.color': INK,
    'xtick.color': INK,
    'ytick.color': INK,
}


@dataclass(frozen=True)
class Story:
    """What one plan call considered, from its proposals to its answer."""

    system: System
    controls: Array
    """The candidates (N, T, n_u), the clipped LQR first, then the network's proposals."""
    states: Array
    """Their trajectories (N, T + 1, n_x)."""
    costs: Array
    """Their J (N,)."""
    best: Array
    """J of the best plan before the first cycle and after each (CYCLES + 1,)."""
    optimum: float
    """J when further cycles gain nothing."""
    plan: Array
    """The trajectory (T + 1, n_x) of the corrected plan."""


@torch.no_grad()
def tell(checkpoint: str = CHECKPOINT, start: Sequence[float] = START) -> Story:
    """Plans once, with the PyTorch model of a controller, and keeps what is on the way."""
    record = load_checkpoint(checkpoint)
    model, system = model_of(record), record.system
    dynamics = as_dynamics(model.representation, system)
    x0 = torch.tensor([start], dtype=torch.float64)
    goal = torch.from_numpy(system.goal_centre[None].copy())
    problem = model.problem(x0, goal, None, dynamics)
    latents = model.initial_latents(problem)
    candidates = model.candidates(problem, latents, dynamics)
    search = Search.of(problem, dynamics, candidates, latents)
    bests = [search.best[0]]
    for cycle in range(CYCLES + MORE_CYCLES):
        search = model.advance(search.keep(model.config.beam_width(cycle)))
        bests.append(search.best[0])
    costs = np.array([_number(best.cost) for best in bests])
    return Story(
        system,
        np.stack([_row(candidate.controls) for candidate in candidates]),
        np.stack([_row(candidate.states) for candidate in candidates]),
        np.array([_number(candidate.cost) for candidate in candidates]),
        costs[: CYCLES + 1],
        costs[-1],
        _row(bests[CYCLES].states),
    )


def _row(tensor: torch.Tensor | None) -> Array:
    assert tensor is not None
    return tensor[0].numpy()


def _number(tensor: torch.Tensor | None) -> float:
    assert tensor is not None
    return float(tensor[0])


def draw(story: Story, path: Path) -> None:
    """Writes the picture (PNG): a white card on a transparent ground, legible on any page."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=SIZE, facecolor='none')
        draw_card(figure)
        sides = {'left': 0.07, 'right': 0.97}
        top = figure.add_gridspec(1, 3, top=0.825, bottom=0.4, wspace=0.36, **sides)
        strip = figure.add_gridspec(1, 1, top=0.25, bottom=0.05, **sides)
        for place, panel in enumerate((draw_proposals, draw_roll_outs, draw_cycles)):
            panel(figure.add_subplot(top[place]), story)
        draw_strip(figure.add_subplot(strip[0]), story)
        figure.savefig(path, dpi=110, metadata={'Software': None})
        plt.close(figure)


def draw_card(figure: Figure) -> None:
    """A white card with round corners, which covers the figure but for a narrow margin."""
    width, height = SIZE
    card = FancyBboxPatch(
        (0.02, 0.02 * width / height),
        0.96,
        1 - 0.04 * width / height,
        boxstyle='round,pad=0.015',
        mutation_aspect=width / height,
        transform=figure.transFigure,
        facecolor=PAPER,
        edgecolor='none',
        zorder=-1,
    )
    figure.add_artist(card)


def colour(story: Story, i: int) -> tuple[str, float, int]:
    """Colour, width and height of a candidate: the best, those that arrive, those that do not."""
    if i == 1 + int(story.costs[1:].argmin()):
        return CHOSEN, 2.6, 4
    arrives = np.all(np.abs(story.states[i, -1]) < 0.3)
    return (GOOD, 1.9, 3) if arrives else (LOST, 1.1, 2)


def heading(axes: Axes, number: int, verb: str, words: str) -> None:
    """The number and the name of a step, and what it does."""
    place = axes.transAxes
    axes.text(0, 1.18, f'{number}  {verb}', transform=place, fontsize=16, weight='bold')
    axes.text(0, 1.07, words, transform=place, fontsize=11, color=SOFT)


def draw_proposals(axes: Axes, story: Story) -> None:
    """The controls that the network proposes, over time."""
    times = story.system.dt * np.arange(story.system.horizon)
    for i in range(1, len(story.controls)):
        line, width, order = colour(story, i)
        axes.step(times, story.controls[i, :, 0], where='post', color=line, lw=width, zorder=order)
    proposals = len(story.controls) - 1
    heading(axes, 1, 'Propose', f'The network proposes {proposals} sequences.')
    axes.set(xlabel='time [s]', ylabel='force [N]', xlim=(0, times[-1]))


def draw_roll_outs(axes: Axes, story: Story) -> None:
    """The angle of the pole under each of them, by the known dynamics."""
    times = story.system.dt * np.arange(story.system.horizon + 1)
    for i in range(1, len(story.states)):
        line, width, order = colour(story, i)
        axes.plot(times, story.states[i, :, 2], color=line, lw=width, zorder=order)
    heading(axes, 2, 'Roll out', 'Known dynamics show where each leads.')
    axes.set(xlabel='time [s]', ylabel='pole', xlim=(0, times[-1]), ylim=(-7, 7))
    axes.text(2.97, 0.3, 'the cheapest', color=CHOSEN, ha='right')
    axes.text(2.97, -1.2, 'others that swing it up', color=GOOD_WORDS, ha='right')
    axes.text(0.1, -4.9, 'those that do not', color=SOFT)
    axes.set_yticks([-2 * np.pi, -np.pi, 0, np.pi, 2 * np.pi])
    axes.set_yticklabels(['upright', 'down', 'upright', 'down', 'upright'])


def draw_cycles(axes: Axes, story: Story) -> None:
    """J over the optimum, of the proposals and of the best plan after every cycle."""
    excess = story.costs / story.optimum - 1
    for i in range(1, len(excess)):
        line, _, order = colour(story, i)
        axes.plot(0, excess[i], 'o', color=line, ms=7, zorder=order)
    axes.plot(0, excess[0], 'x', color=INK, ms=7, mew=1.8, zorder=3)
    axes.annotate('clipped LQR', (0, excess[0]), (9, -4), textcoords='offset points', fontsize=10)
    best = story.best / story.optimum - 1
    axes.plot(range(len(best)), best, 'o-', color=CHOSEN, lw=2.6, ms=7, zorder=5)
    heading(axes, 3, 'Correct', 'Changes are kept if the cost J falls.')
    axes.set(
        xlabel='cycle',
        yscale='log',
        xlim=(-0.3, CYCLES + 0.3),
        yticks=[1e-6, 1e-4, 1e-2, 1e0, 1e2],
    )
    words = 'cost above the optimum'
    axes.text(0.99, 0.6, words, transform=axes.transAxes, ha='right', color=SOFT)
    axes.yaxis.set_major_formatter(lambda share, _: f'{100 * share:,.6g} %')


def draw_strip(axes: Axes, story: Story) -> None:
    """Cart and pole along the corrected plan, like frames of a film."""
    system = story.system
    length = 2 * system.parameters['half_length']
    for k, t in enumerate(range(0, FRAMES * STEPS_PER_FRAME, STEPS_PER_FRAME)):
        angle, x = story.plan[t, 2], SPREAD * k
        tip = (x + length * np.sin(angle), length * np.cos(angle))
        axes.plot([x, tip[0]], [0, tip[1]], color=CHOSEN, lw=4, solid_capstyle='round', zorder=3)
        axes.add_patch(Rectangle((x - 0.27, -0.16), 0.54, 0.32, color=INK, zorder=2))
        words = f'{t * system.dt:.1f} s'
        axes.text(x, -1.35, words, ha='center', va='top', fontsize=9.5, color=SOFT)
    words = 'The corrected plan swings the pole up. Its first control is applied; then planning '
    words += 'begins again from the measured state.'
    axes.text(-0.6, 1.5, words, fontsize=11, color=SOFT)
    axes.set(aspect='equal', xlim=(-0.6, SPREAD * (FRAMES - 1) + 0.6), ylim=(-1.6, 1.7))
    axes.axis('off')


if __name__ == '__main__':
    draw(tell(), Path(sys.argv[1]))
