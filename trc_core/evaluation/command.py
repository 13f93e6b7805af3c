"""`trc evaluate`: one table of a controller beside the baselines, on fresh states."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trc_core.command_line import report_errors
from trc_core.evaluation.evaluator import TEST_SEED, Scores, fresh_problems, planners, score
from trc_core.runtime.controller import Controller
from trc_core.solvers import nlp

CYCLES = (1, 3, 5, 10)


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluates a checkpoint against the optimum of IPOPT."""
    parser = argparse.ArgumentParser('trc evaluate', description=main.__doc__)
    parser.add_argument(
        '--checkpoint', default='van_der_pol', help='shipped name or path (default %(default)s)'
    )
    parser.add_argument(
        '--states', type=int, default=200, help='number of test problems (default %(default)s)'
    )
    parser.add_argument(
        '--seed', type=int, default=TEST_SEED, help='of the test problems (default %(default)s)'
    )
    parser.add_argument('--output', type=Path, help='also write the figures to this JSON file')
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        scores, unsolved = evaluate(arguments.checkpoint, arguments.states, arguments.seed)
        print(format_table(arguments.checkpoint, scores, arguments.states, arguments.seed))
        if unsolved:
            print(f'left out: {unsolved} states that IPOPT did not solve')
        if arguments.output:
            figures = {label: asdict(s) for label, s in scores.items()}
            arguments.output.write_text(json.dumps(figures, indent=2) + '\n')


def evaluate(checkpoint: str, states: int, seed: int) -> tuple[dict[str, Scores], int]:
    """Scores by planner, and the number of states that had to be left out."""
    if states < 1:
        raise ValueError(f'--states must be at least 1, got {states}')
    controller = Controller.load(checkpoint)
    x0, goal = fresh_problems(controller.system, states, seed)
    bar = tqdm(range(states), desc='IPOPT optimum', leave=False)
    optima = [nlp.solve(controller.system, x0[i], goal[i]) for i in bar]
    solved = np.array([plan.converged for plan in optima])
    optimum = np.array([plan.cost for plan in optima])[solved]
    scores = {}
    for label, planner in planners(controller, CYCLES).items():
        bar = tqdm(range(int(solved.sum())), desc=label, leave=False)
        scores[label] = score(planner, x0[solved], goal[solved], optimum, bar)
    return scores, int(states - solved.sum())


def format_table(checkpoint: str, scores: dict[str, Scores], states: int, seed: int) -> str:
    """The scores as text."""
    lines = [
        f'{checkpoint}: J/J* against IPOPT on {states} states (seed {seed})',
        f'{"":22}{"mean":>10}{"median":>10}{"p95":>10}{"max":>10}{"success":>10}',
    ]
    for label, s in scores.items():
        figures = ''.join(f'{value:10.5f}' for value in (s.mean, s.median, s.p95, s.worst))
        lines.append(f'{label:22}{figures}{s.success:10.1%}')
    return '\n'.join(lines)
