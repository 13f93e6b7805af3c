"""The former place of `System` and `Joint`, kept for system files of version 1."""

from trc_core.problem.system import Joint, System

__all__ = ['Joint', 'System']
