"""The stages of `trc train`, and the recipes of the shipped checkpoints."""

from trc_core.systems.catalogue import SHIPPED
from trc_core.systems.shipped import Recipe

__all__ = ['RECIPES', 'STAGES', 'Recipe']

STAGES = {
    'cost': 'learns from the exact gradient of J; no demonstrations',
    'hypotheses': 'imitates the best known plans, several guesses side by side (swing-ups)',
    'imitation': 'imitates the plans of a dataset, every cycle (--data_dir)',
    'process': 'lowers J of every cycle on the states of a dataset (--data_dir)',
}
RECIPES: dict[str, Recipe] = {
    name: recipe for shipped in SHIPPED.values() for name, recipe in shipped.recipes.items()
}
"""By the name of the checkpoint; every setting left out has the default of the stage."""
