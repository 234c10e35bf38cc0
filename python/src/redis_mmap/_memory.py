"""Memory of this process while much is sent or read."""

from __future__ import annotations

import functools
import mmap
from typing import Any, Optional

import numpy as np
import numpy.typing as npt


@functools.cache
def keep_large_blocks() -> None:
    """Has the C library keep the memory of large blocks that are freed, up to 32 MiB, for the next ones.

    The client libraries make new bytes of each piece that is sent or read. glibc takes each of them from the system, page fault
    by page fault, until a larger block was freed (``mallopt(3)``, M_MMAP_THRESHOLD): this one, which is never touched.
    Through hiredis an append takes a seventh of the processor time then, and the library's own parser reads in a third.
    """
    bytes(16 << 20)


class Passed:
    """Lets go of the pages of a ``numpy.memmap`` that were sent, which count as memory of this process.

    Nothing is lost: the mapping stays valid, and the pages stay in the system's cache. Only mappings that are shared with the
    file are touched: in others (mode ``c``) the pages hold what was changed.

    Parameters
    ----------
    values : numpy.ndarray
        What is sent, from its first value to its last.
    """

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._mapping: Optional[mmap.mmap] = None
        # Parts of a memmap have these attributes, too, and what was computed from one has no mapping. Windows has no madvise.
        found: Any = getattr(values, "_mmap", None) if hasattr(mmap, "MADV_DONTNEED") else None
        is_shared = getattr(values, "mode", None) in ("r", "r+", "w+")
        if isinstance(found, mmap.mmap) and is_shared and values.flags.c_contiguous:
            start = np.frombuffer(found, np.uint8).__array_interface__["data"][0]
            self._mapping = found
            self._done = self._next = int(values.__array_interface__["data"][0]) - start

    def pass_over(self, count: int) -> None:
        """Says that so many bytes more were sent."""
        if self._mapping is None:
            return
        self._next += count
        # Only whole pages: what lies in one with these values is the caller's.
        start = -(-self._done // mmap.PAGESIZE) * mmap.PAGESIZE
        end = self._next // mmap.PAGESIZE * mmap.PAGESIZE
        if end > start:
            self._mapping.madvise(mmap.MADV_DONTNEED, start, end - start)
            self._done = end
