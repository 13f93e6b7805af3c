"""The stages of `trc train`, and the recipes of the shipped checkpoints."""

from typing import Any

from trc_core.problem.system import System
from trc_core.systems.catalogue import SHIPPED
from trc_core.systems.shipped import Recipe

__all__ = ['RECIPES', 'STAGES', 'Recipe', 'settings_of_new_plant']

STAGES = {
    'cost': 'learns from the exact gradient of J; no demonstrations',
    'hypotheses': 'imitates the best known plans, several guesses side by side (swing-ups)',
    'imitation': 'imitates the plans of a dataset, every cycle (--data_dir)',
    'process': 'lowers J of every cycle on the states of a dataset (--data_dir)',
}
NEW_PLANT: dict[str, dict[str, Any]] = {
    'cost': {},
    'hypotheses': {'labels': 8000, 'first_steps': 4000, 'joint_steps': 3000},
}
"""By the stage: settings for a plant that has no recipe, with which a run takes minutes."""
ONLY_PROPOSALS = {'labels': 8000, 'first_steps': 8000, 'joint_steps': 0, 'H_cycles': 0}
"""Those of the stage `hypotheses` under constraints, and where parameters have ranges: there the
network only proposes, and sweeps do the rest."""
RECIPES: dict[str, Recipe] = {
    name: recipe for shipped in SHIPPED.values() for name, recipe in shipped.recipes.items()
}
"""By the name of the checkpoint; every setting left out has the default of the stage."""


def settings_of_new_plant(system: System, stage: str) -> dict[str, Any]:
    """The settings of a stage for a plant that has no recipe."""
    if stage == 'hypotheses' and (system.task.constraints or system.ranges):
        return ONLY_PROPOSALS
    return NEW_PLANT[stage]
