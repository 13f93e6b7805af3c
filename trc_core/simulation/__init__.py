"""Plants: physics with a state, and everything in which they differ from their model."""

from trc_core.simulation.backends import PLANTS, make_plant
from trc_core.simulation.plant import Imperfections, Plant, in_error

__all__ = ['PLANTS', 'Imperfections', 'Plant', 'in_error', 'make_plant']
