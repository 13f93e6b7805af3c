"""The stages of `trc train`, and the recipes of the shipped checkpoints."""

from trc_core.systems.catalogue import SHIPPED
from trc_core.systems.shipped import Recipe

__all__ = ['NEW_PLANT', 'RECIPES', 'STAGES', 'Recipe']

STAGES = {
    'cost': 'learns from the exact gradient of J; no demonstrations',
    'hypotheses': 'imitates the best known plans, several guesses side by side (swing-ups)',
    'imitation': 'imitates the plans of a dataset, every cycle (--data_dir)',
    'process': 'lowers J of every cycle on the states of a dataset (--data_dir)',
}
NEW_PLANT = {
    'cost': {},
    'hypotheses': {'labels': 8000, 'first_steps': 4000, 'joint_steps': 3000},
}
"""By the stage: settings for a plant that has no recipe, with which a run takes minutes."""
RECIPES: dict[str, Recipe] = {
    name: recipe for shipped in SHIPPED.values() for name, recipe in shipped.recipes.items()
}
"""By the name of the checkpoint; every setting left out has the default of the stage."""
