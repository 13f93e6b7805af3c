"""The stages of `trc train`, and the recipes of the shipped checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trc_core.problem.system import System
from trc_core.solvers.searched_labels import needs_search
from trc_core.systems.catalogue import SHIPPED
from trc_core.systems.shipped import PROPOSALS, Recipe

__all__ = ['RECIPES', 'STAGES', 'Recipe', 'asked_settings', 'new_plant']

STAGES = {
    'cost': 'learns from the exact gradient of J; no demonstrations',
    'hypotheses': 'imitates the best known plans, several guesses side by side (swing-ups)',
    'imitation': 'imitates the plans of a dataset, every cycle (--data_dir)',
    'process': 'lowers J of every cycle on the states of a dataset (--data_dir)',
    'descent': 'learns from solved powered descents, whose time is free',
}
NEW_PLANT: dict[str, Mapping[str, Any]] = {
    'hypotheses': {'labels': 8000, 'first_steps': 4000, 'joint_steps': 3000},
    'proposals': {**PROPOSALS, 'labels': 8000, 'first_steps': 6000},
}
RECIPES: dict[str, Recipe] = {
    name: recipe for shipped in SHIPPED.values() for name, recipe in shipped.recipes.items()
}
"""By the name of the checkpoint; every setting left out has the default of the stage."""


def new_plant(system: System, stage: str) -> Mapping[str, Any]:
    """The settings of a stage for a plant that has no recipe, with which a run takes minutes."""
    return NEW_PLANT.get('proposals' if _proposes(system, stage) else stage, {})


def asked_settings(system: System, stage: str) -> Mapping[str, Any]:
    """The settings without which a stage that was asked for does not suit a plant."""
    return PROPOSALS if _proposes(system, stage) else {}


def _proposes(system: System, stage: str) -> bool:
    """Whether the network of a stage proposes plans for sweeps, and refines none itself."""
    return stage == 'hypotheses' and needs_search(system)
