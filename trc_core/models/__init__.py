"""The networks, in PyTorch."""

from trc_core.models.config import TRCConfig
from trc_core.models.tiny_recursive_control import TinyRecursiveControl

__all__ = ['TRCConfig', 'TinyRecursiveControl']
