"""The networks, in PyTorch."""

from trc_core.models.tiny_recursive_control import TinyRecursiveControl, TRCConfig

__all__ = ['TRCConfig', 'TinyRecursiveControl']
