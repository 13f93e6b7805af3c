"""`TRCConfig` by its first name; it stands where readers of checkpoints need no PyTorch."""

from trc_core.network_config import TRCConfig

__all__ = ['TRCConfig']
