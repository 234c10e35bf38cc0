"""The synchronous array, with what only a synchronous one can have: operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
import numpy.lib.mixins
import numpy.typing as npt

from ._client import SyncClient, is_async
from ._sync.array import BaseArray, bind
from ._types import Key, Path


class Array(BaseArray, np.lib.mixins.NDArrayOperatorsMixin):
    """An array in a server that behaves as one of numpy. Made by :func:`redis_mmap.open`.

    >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
    >>> a.append([1.5, 2, 4, 8])
    4
    >>> a
    Array('numbers', [1.5, 2.0, 4.0, 8.0], dtype=float64, shape=(4,))
    >>> len(a), a[-1].item(), a[1:3].tolist(), a[[0, -1]].tolist()
    (4, 8.0, [2.0, 4.0], [1.5, 8.0])
    >>> a[1:3] = 0
    >>> np.asarray(a).tolist()
    [1.5, 0.0, 0.0, 8.0]
    >>> a.sum().item(), a.argmax(), a.where(">", 1).tolist()
    (9.5, 3, [0, 3])
    >>> (a * 2).tolist(), np.max(a).item()
    ([3.0, 0.0, 0.0, 16.0], 8.0)
    """

    # Two arrays are compared value by value, as numpy's.
    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return self.length()

    @property
    def size(self) -> int:
        """The number of values, at this moment."""
        return self.length()

    @property
    def shape(self) -> tuple[int]:
        """The shape, at this moment."""
        return (self.length(),)

    @property
    def nbytes(self) -> int:
        """Bytes of all values, at this moment."""
        return self.length() * self.itemsize

    def __getitem__(self, index: Any) -> Any:
        return self.get(index)

    def __setitem__(self, index: Any, values: Any) -> None:
        self.set(index, values)

    def __iter__(self) -> Iterator[Any]:
        """Yields the values that are there at this moment, which are fetched in chunks."""
        for chunk in self.chunks():
            yield from chunk

    def __contains__(self, value: Any) -> bool:
        return len(self.where("=", value, limit=1)) > 0

    def __array__(self, dtype: Optional[npt.DTypeLike] = None, copy: Optional[bool] = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("an array in a server cannot be had without a copy; its file can, by memmap()")
        values = self.to_numpy()
        return values if dtype is None else values.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Operators and other functions that go value by value fetch all values: ``a * 2``, ``a == 5``, ``np.log(a)``."""
        if any(isinstance(each, Array) for each in options.get("out", ())):
            raise TypeError(
                "an array in a server is not changed in place by an operator: use a[...] = values, or a.increment(indices, by) "
                "and a.fill(value, start, stop), which the server carries out"
            )
        given = [each.to_numpy() if isinstance(each, Array) else each for each in inputs]
        return getattr(ufunc, method)(*given, **options)

    def __repr__(self) -> str:
        try:
            shown = self.summary()
        except Exception as error:
            # A repr is asked for when something is wrong already.
            shown = f"dtype={self._dtype}, unreachable: {error}"
        return f"Array({self._key!r}, {shown})"


def open(
    client: SyncClient, key: Key, path: Optional[Path] = None, dtype: Optional[npt.DTypeLike] = None, *, mode: str = "r+"
) -> Array:
    """Opens the array of a key, and binds a file to the key first if a path is given.

    Parameters
    ----------
    client
        A synchronous client of redis-py or valkey-py, standalone or Cluster, whatever its ``decode_responses`` and protocol.
    key : str or bytes
        The key.
    path : path-like, optional
        The file, below the server's ``mmap.dir``. Without one the key must be bound already.
    dtype : dtype-like, optional
        The type of the values: ``i1`` to ``i8``, ``u1`` to ``u8``, ``f4``, ``f8``, ``longdouble``, or ``S`` with a number of
        bytes, all of them as numpy names them. Without it: what the key has, what a ``.npy`` file says, or ``f8``.
    mode : {'r+', 'r'}
        ``r+``: writable, and a missing file is created. ``r``: read-only.

    Returns
    -------
    Array

    Raises
    ------
    NotBound
        If no path is given and there is no such key.
    CannotBind
        If the key or the file is bound otherwise, or the file cannot be used.
    TypeError
        If the module has no such dtype, or the array another one.

    Examples
    --------
    >>> a = redis_mmap.open(client, "prices", "prices.f64", dtype="f8")
    >>> a.append(np.arange(1000) / 10)
    1000
    >>> a.mean().item()
    49.95
    """
    if is_async(client):
        raise TypeError("this client is one for asyncio: use await redis_mmap.asyncio.open(...)")
    return Array(client, key, bind(client, key, path, dtype, mode))
