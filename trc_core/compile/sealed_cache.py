"""Numba's cache on disk with a hash behind every file: it unpickles and runs what it reads.

A file that a power cut has zeroed or cut short, or of which a byte changed, is noticed before
that, deleted, and compiled again.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.core.caching import IndexDataCacheFile
from numba.core.runtime import rtsys

from trc_core.whole_files import notice_damage, notice_unkept, write_whole

SIZE = hashlib.sha256().digest_size  # of the seal; readers of a pickle stop before it


def seal(dispatcher: Any) -> None:
    """Makes a compiled function, defined with `cache=True`, keep sealed files."""
    cache = dispatcher._cache
    kept = cache._cache_file
    cache._cache_file = SealedFiles(
        kept._cache_path, cache._impl.filename_base, kept._source_stamp
    )
    cache.load_overload = functools.partial(_load_overload, cache)


def _load_overload(cache: Any, signature: Any, target_context: Any) -> Any:
    """Numba's `load_overload`, without the modules that only its compiler needs.

    They are two hundred, 60 MB and 0.3 s; what is compiled later still imports them.
    """
    rtsys.initialize(target_context)  # the allocator of compiled code
    return cache._load_overload(signature, target_context)


class SealedFiles(IndexDataCacheFile):
    """The index and the machine code of one function."""

    def save(self, key: Any, data: Any) -> None:
        """Keeps machine code; on a full disk this process has it all the same."""
        try:
            super().save(key, data)
        except OSError as error:
            notice_unkept(Path(self._index_path), error)

    def _load_index(self) -> Any:
        _delete_damaged(Path(self._index_path))
        return super()._load_index()

    def _load_data(self, name: str) -> Any:
        _delete_damaged(Path(self._data_path(name)))
        return _without_bitcode(super()._load_data(name))  # a missing file is compiled again

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        yield content
        body = content.getvalue()
        write_whole(Path(filepath), body + hashlib.sha256(body).digest())


def _without_bitcode(data: Any) -> Any:
    """Cached machine code without its bitcode, which LLVM would parse and keep (20 MB).

    It serves those that call a compiled kernel from another one; here kernels call plain
    functions. What Numba reads of it is that the function to be called is defined.
    """
    match data:
        case ((name, 'object', (code, _)), description, *rest):
            wrapper = description.llvm_cpython_wrapper_name
            stub = llvm.parse_assembly(f'define void @"{wrapper}"() {{ ret void }}').as_bitcode()
            return ((name, 'object', (code, stub)), description, *rest)
    return data


def _delete_damaged(path: Path) -> None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    if hashlib.sha256(content[:-SIZE]).digest() != content[-SIZE:]:
        notice_damage(path)
        path.unlink(missing_ok=True)
