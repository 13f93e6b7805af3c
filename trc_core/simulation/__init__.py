"""Plants: physics with a state of its own, and all that a model does not know of them."""

from trc_core.simulation.backends import PLANTS, make_plant
from trc_core.simulation.plant import Imperfections, Plant, in_error

__all__ = ['PLANTS', 'Imperfections', 'Plant', 'in_error', 'make_plant']
