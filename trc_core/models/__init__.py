"""The networks, in PyTorch."""

from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.network_config import TRCConfig

__all__ = ['TRCConfig', 'TinyRecursiveControl']
