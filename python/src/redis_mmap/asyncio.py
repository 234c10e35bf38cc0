"""The same for asyncio: ``a = await redis_mmap.asyncio.open(client, "prices", "prices.f64", dtype="f8")``.

Everything that asks the server is awaited: ``await a[-1]``, ``await a[10:20:2]``, ``await a.set(0, 1.5)`` for ``a[0] = 1.5``,
``await a.length()`` for ``len(a)``, ``await a.to_numpy()`` for ``np.asarray(a)``, ``async for chunk in a.chunks()``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any, Optional

import numpy.typing as npt

from ._async.array import AsyncBaseArray, bind
from ._async.commands import AsyncCommands as Commands
from ._async.pipeline import AsyncPipeline as Pipeline
from ._client import AsyncClient, is_async
from ._types import Key, Path

__all__ = ["Array", "Commands", "MmapClient", "Pipeline", "open"]


class Array(AsyncBaseArray):
    """An array in a server, for asyncio. Made by :func:`redis_mmap.asyncio.open`."""

    def __getitem__(self, index: Any) -> Coroutine[Any, Any, Any]:
        """``await a[index]``"""
        return self.get(index)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yields the values that are there at this moment, which are fetched in chunks."""
        async for chunk in self.chunks():
            for value in chunk:
                yield value

    def __repr__(self) -> str:
        return f"Array({self._key!r}, dtype={self._dtype})"


async def open(
    client: AsyncClient, key: Key, path: Optional[Path] = None, dtype: Optional[npt.DTypeLike] = None, *, mode: str = "r+"
) -> Array:
    """Opens the array of a key, as :func:`redis_mmap.open`."""
    if not is_async(client):
        raise TypeError("this client is not one for asyncio: use redis_mmap.open(...)")
    return Array(client, key, await bind(client, key, path, dtype, mode))


class MmapClient:
    """Gives a client class a method ``mmap()``, as :class:`redis_mmap.MmapClient` does."""

    def mmap(self) -> Commands:
        """The commands of the module."""
        return Commands(self)  # type: ignore[arg-type]
