"""Peak of the bytes of tensors that a computation needs at the same time."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class TensorMemory(TorchDispatchMode):
    """Counts the storage of every tensor that an operation makes, until nobody holds it.

    What exists before, like weights, is not counted, nor are arrays outside PyTorch. The figures
    do not depend on the machine or its load.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._storages: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {storage._cdata for storage in _storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in given:  # neither in place nor a view
                self._watch(storage)
        return result

    def _watch(self, storage: UntypedStorage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name in self._storages:
            return
        self._storages[name] = weakref.ref(storage, partial(self._forget, name, size))
        self.live += size
        self.peak = max(self.peak, self.live)

    def _forget(self, name: int, size: int, reference: Any) -> None:
        if self._storages.pop(name, None) is not None:
            self.live -= size


def _storages(tree: Any) -> list[UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def peak_bytes(compute: Callable[[], Any]) -> int:
    """The most bytes of new tensors that live at once during `compute()`."""
    with TensorMemory() as memory:
        compute()
    return memory.peak
