# Made by python/generate from _async/array.py: edit that file.
"""An array in a server that behaves like one of numpy."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any, Callable, Literal, Optional, Union, overload

import numpy as np
import numpy.typing as npt

from .. import _requests as requests
from .. import _types as types
from .._client import SyncClient, is_cluster
from .._indexing import (
    MANY,
    NEAR,
    PIECE,
    Indices,
    at_most,
    batches,
    bounds,
    check_axis,
    condition,
    insertion,
    normalized,
    out_of_bounds,
    positions,
    runs,
)
from .._memmap import Memmap
from .._memory import Passed, keep_large_blocks
from .._requests import Request
from .._types import Key
from ..exceptions import MmapError, NotBound, interrupted
from .commands import Sender

#: Number of indices to request with one ``VFIND``.
_FOUND_AT_ONCE = 200_000
#: Number of requests in flight during long reads.
_AHEAD = 4

_OPS = {"count": "COUNT", "sum": "SUM", "min": "MIN", "max": "MAX", "mean": "AVG", "var": "VAR", "std": "STD",
        "argmin": "ARGMIN", "argmax": "ARGMAX"}  # fmt: skip


def bind(
    client: SyncClient, key: Key, path: Optional[types.Path], dtype: Optional[npt.DTypeLike], mode: str
) -> np.dtype[Any]:
    """Bind a file to a key, if one is given, and return the type."""
    sender = Sender(client)
    if mode not in ("r", "r+"):
        raise ValueError(f"mode is 'r' (read-only) or 'r+' (writable, created if missing), not {mode!r}")
    known = None if dtype is None else types.dtype_of(dtype)
    if path is not None:
        path = os.fspath(path)
        is_npy = (path if isinstance(path, str) else path.decode("latin-1")).endswith(".npy")
        words = types.words_of(known) if known is not None else () if is_npy else ("double",)
        size = int(words[1]) if len(words) > 1 else None
        sender.send(requests.mmap(key, path, words[0] if words else None, size, mode == "r+"))
    batch: list[Request[Any]] = [requests.vtype(key), requests.vitemsize(key)]
    name, itemsize = sender.send_all(batch)
    if name is None:
        raise NotBound(f"there is no key {key!r}: say which file is to be bound to it")
    found = types.dtype_named(name, itemsize)
    if known is not None and known != found:
        raise TypeError(f"the array of key {key!r} holds values of dtype {found}, not {known}")
    return found


class BaseArray:
    """Properties of the synchronous and the asynchronous array."""

    def __init__(self, client: SyncClient, key: Key, dtype: npt.DTypeLike) -> None:
        self._client = client
        self._sender = Sender(client)
        self._key = key
        self._dtype = types.dtype_of(dtype)

    def __reduce__(self) -> Any:
        raise TypeError(
            f"an array in a server has a connection, which no other process can have: send its key, and open it there: "
            f"redis_mmap.open(client, {self._key!r})"
        )

    # --8<-- what it is

    @property
    def client(self) -> SyncClient:
        """The client with which the array was opened."""
        return self._client

    @property
    def key(self) -> Key:
        """The key."""
        return self._key

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self._dtype

    @property
    def itemsize(self) -> int:
        """Bytes per value."""
        return self._dtype.itemsize

    @property
    def ndim(self) -> int:
        """The number of dimensions, 1."""
        return 1

    def length(self) -> int:
        """The current number of values."""
        return self._sender.send(requests.vsize(self._key))

    def path(self) -> str:
        """The path of the file, as it was given.

        Raises
        ------
        NotBound
            If there is no such key any more.
        """
        path = self._sender.send(requests.vfilepath(self._key))
        if path is None:
            raise NotBound(f"there is no key {self._key!r} any more")
        return path

    def stat(self) -> dict[str, Any]:
        """Return the fields of ``VSTAT``: ``path``, ``state``, ``count``, ``bytes``, ``synced``, ``resident`` and more."""
        found = self._sender.send(requests.vstat(self._key))
        if found is None:
            raise NotBound(f"there is no key {self._key!r} any more")
        return found

    def summary(self) -> str:
        """Return one line with dtype, shape and the first and last values."""
        first, last = requests.vgetraw(self._key, 0, 2), requests.vgetraw(self._key, -3, -1)
        batch: list[Request[Any]] = [requests.vsize(self._key), first, last]
        count, head, tail = self._sender.send_all(batch)
        values = [np.frombuffer(part, self._dtype) for part in (head, tail)]
        if count <= 6:
            values = [values[0], values[1][max(0, 6 - count) :] if count > 3 else values[1][:0]]
        texts = [[repr(each) if isinstance(each, bytes) else str(each) for each in part] for part in values]
        shown = ", ".join(texts[0] + (["..."] if count > 6 else []) + texts[1])
        return f"[{shown}], dtype={self._dtype}, shape=({count},)"

    # --8<-- reading

    def get(self, index: Any = slice(None)) -> Any:
        """Return ``a[index]`` as numpy does, for integers, slices with any step, index arrays and masks.

        Parameters
        ----------
        index : int, slice, Ellipsis, array of int, or array of bool
            Negative ones count from the end.

        Returns
        -------
        numpy scalar or numpy.ndarray
            A copy, which is yours. More than 1 MiB is fetched in pieces: what others change at that moment may be seen in part.

        Raises
        ------
        IndexError
            If there is no such value.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a[-1].item(), a[1:3].tolist(), a[[0, -1]].tolist(), a[::-2].tolist()
        (8.0, [2.0, 4.0], [1.5, 8.0], [8.0, 2.0])
        >>> a[5:].tolist()
        []
        >>> a[5]
        Traceback (most recent call last):
        IndexError: index 5 is out of bounds for axis 0 with size 4
        """
        if type(index) is not int:
            index = normalized(index)
        if isinstance(index, int):
            # Programs call this in loops, so nothing but the client library is in between.
            word = b"%d" % index
            data = self._sender.execute("VGETRAW", self._key, word, word)
            if not data:
                raise out_of_bounds(index, self.length())
            return np.frombuffer(data, self._dtype)[0]
        if isinstance(index, slice):
            return self._get_slice(index)
        count = self.length()
        at = positions(index, count)
        return (self._get_positions(at.ravel())).reshape(at.shape)

    def _get_slice(self, index: slice) -> npt.NDArray[Any]:
        most = at_most(index)
        if most is not None and most * self.itemsize <= PIECE:
            # One command, whatever the length of the array.
            start, stop = bounds(index.start, index.stop)
            data = self._sender.send(requests.vgetraw(self._key, start, stop))
            return np.frombuffer(data, self._dtype).copy()
        found = range(*index.indices(self.length()))
        if len(found) == 0:
            return np.empty(0, self._dtype)
        ascending = found if found.step > 0 else found[::-1]
        values = self._get_range(ascending)
        return values if found.step > 0 else values[::-1].copy()

    def _get_range(self, found: range) -> npt.NDArray[Any]:
        values = np.empty(len(found), self._dtype)
        if found.step == 1:
            done = self.read_into(values, found.start)
            return values[:done]
        if found.step * self.itemsize <= NEAR:
            # Reading the values in between as well costs less than requesting each value.
            at_once = max(PIECE // (found.step * self.itemsize), 1)
            for start in range(0, len(found), at_once):
                part = found[start : start + at_once]
                data = self._sender.send(requests.vgetraw(self._key, part[0], part[-1]))
                got = np.frombuffer(data, self._dtype)[:: found.step]
                values[start : start + len(got)] = got
                if len(got) < len(part):
                    return values[: start + len(got)]
            return values
        for start in range(0, len(found), MANY):
            part = found[start : start + MANY]
            replies = self._sender.send(requests.vslice(self._key, part[0], part[-1], found.step))
            got = types.array(self._dtype, replies)
            values[start : start + len(got)] = got
            self._restore_nan(values[start : start + len(got)], np.arange(part.start, part.stop, part.step)[: len(got)])
            if len(got) < len(part):
                return values[: start + len(got)]
        return values

    def read_into(self, out: npt.NDArray[Any], start: int = 0) -> int:
        """Read values from ``start`` on into an existing array of this dtype, and return how many were read.

        A negative ``start`` counts from the end.

        Raises
        ------
        TypeError, ValueError
            If the array has another dtype, or does not lie in memory back to back.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> out = np.zeros(3)
        >>> a.read_into(out, 2), out.tolist()
        (2, [4.0, 8.0, 0.0])
        """
        if out.dtype != self._dtype:
            raise TypeError(f"values of dtype {self._dtype} are not read into an array of {out.dtype}")
        if out.ndim != 1 or not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError("values are read into a writable array of one dimension that lies in memory back to back")
        if start < 0:
            start = max(start + self.length(), 0)
        at_once = max(PIECE // self.itemsize, 1)
        if len(out) > at_once:
            keep_large_blocks()
        pieces = [(begin, min(begin + at_once, len(out))) for begin in range(0, len(out), at_once)]
        for group in range(0, len(pieces), _AHEAD):
            wanted = pieces[group : group + _AHEAD]
            batch = [requests.vgetraw(self._key, start + begin, start + end - 1) for begin, end in wanted]
            for (begin, end), data in zip(wanted, self._sender.send_all(batch)):
                got = len(data) // self.itemsize
                out[begin : begin + got] = np.frombuffer(data, self._dtype)
                if got < end - begin:
                    return begin + got
        return len(out)

    def _get_positions(self, at: Indices) -> npt.NDArray[Any]:
        wanted, order = np.unique(at, return_inverse=True)
        values = np.empty(len(wanted), self._dtype)
        found = runs(wanted, self.itemsize, NEAR)
        firsts = np.searchsorted(wanted, [start for start, _ in found])
        lasts = np.searchsorted(wanted, [stop for _, stop in found])
        alone = firsts[lasts - firsts == 1]
        near = [
            (start, stop, first, last)
            for (start, stop), first, last in zip(found, firsts.tolist(), lasts.tolist())
            if last - first > 1
        ]
        for group in batches([(stop - start) * self.itemsize for start, stop, _, _ in near]):
            batch = [requests.vgetraw(self._key, start, stop - 1) for start, stop, _, _ in near[group]]
            for (start, stop, first, last), data in zip(near[group], self._sender.send_all(batch)):
                if len(data) < (stop - start) * self.itemsize:
                    raise out_of_bounds(int(wanted[last - 1]), self.length())
                values[first:last] = np.frombuffer(data, self._dtype)[wanted[first:last] - start]
        for begin in range(0, len(alone), MANY):
            part = alone[begin : begin + MANY]
            replies = self._sender.send(requests.vmget(self._key, *wanted[part].tolist()))
            if None in replies:
                raise out_of_bounds(int(wanted[part[replies.index(None)]]), self.length())
            got = types.array(self._dtype, replies)
            self._restore_nan(got, wanted[part])
            values[part] = got
        return values[order.reshape(-1)]

    def _restore_nan(self, values: npt.NDArray[Any], at: Indices) -> None:
        """Give every NaN the sign and payload that it lost as text."""
        if self._dtype.kind != "f":
            return
        lost = np.flatnonzero(np.isnan(values))
        for group in batches([self.itemsize] * len(lost)):
            some = lost[group]
            batch = [requests.vgetraw(self._key, int(index), int(index)) for index in at[some]]
            replies = self._sender.send_all(batch)
            data = b"".join(replies)
            if len(data) == len(some) * self.itemsize:
                values[some] = np.frombuffer(data, self._dtype)

    def to_numpy(self) -> npt.NDArray[Any]:
        """Return all values as an array of numpy."""
        found: npt.NDArray[Any] = self.get(slice(None))
        return found

    def chunks(self, size: int = 1 << 17, start: int = 0, stop: Optional[int] = None) -> Iterator[npt.NDArray[Any]]:
        """Yield the values from ``start`` to ``stop`` as arrays of at most ``size`` values.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> [chunk.tolist() for chunk in a.chunks(3)]
        [[1.5, 2.0, 4.0], [8.0]]
        """
        if size < 1:
            raise ValueError(f"a chunk holds at least one value, not {size}")
        first, last, _ = slice(start, stop).indices(self.length())
        for begin in range(first, last, size):
            values = np.empty(min(size, last - begin), self._dtype)
            got = self.read_into(values, begin)
            if got:
                yield values[:got]
            if got < len(values):
                return

    # --8<-- writing

    def set(self, index: Any, values: Any) -> None:
        """Set ``a[index] = values`` as numpy does, for every index that :meth:`get` accepts.

        Setting is safe to repeat. One command sets up to 1 MiB at once, all of it or nothing; more is set in pieces.

        Parameters
        ----------
        index : int, slice, Ellipsis, array of int, or array of bool
            Negative ones count from the end. Where one comes twice, the last value stands.
        values : scalar or array-like
            Broadcast as in numpy.

        Raises
        ------
        IndexError
            If there is no such value.
        TypeError, OverflowError, ValueError
            If a value is not of the array's type. Unlike numpy, nothing is wrapped, cut off or made an integer.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.set(slice(1, 3), 0)
        >>> a.set([0, -1], [7, 9])
        >>> a[:].tolist()
        [7.0, 0.0, 0.0, 9.0]
        """
        new = types.cast(values, self._dtype)
        if type(index) is not int:
            index = normalized(index)
        if isinstance(index, int):
            if new.ndim > 0:
                raise ValueError("setting an array element with a sequence")
            self._sender.send(requests.vsetraw(self._key, self._positive(index), new))
            return
        count = self.length()
        if isinstance(index, slice):
            found = range(*index.indices(count))
            if found.step == 1:
                self._set_range(found, new)
                return
            at = np.arange(found.start, found.stop, found.step, dtype=np.intp)
        else:
            at = positions(index, count)
        new = _broadcast(new, at.shape)
        self._set_positions(at.ravel(), new.ravel())

    def _positive(self, index: int) -> int:
        if index >= 0:
            return index
        count = self.length()
        if index < -count:
            raise out_of_bounds(index, count)
        return index + count

    def _set_range(self, found: range, new: npt.NDArray[Any]) -> None:
        whole = _broadcast(new, (len(found),))
        if len(found) == 0:
            return
        if new.size == 1 and len(found) * self.itemsize > PIECE and not types.has_odd_nan(new).any():
            self.fill(new.reshape(-1)[0], found.start, found.stop)
            return
        at_once = max(PIECE // self.itemsize, 1)
        for start in range(0, len(found), at_once):
            self._sender.send(requests.vsetraw(self._key, found.start + start, whole[start : start + at_once]))

    def _set_positions(self, at: Indices, new: npt.NDArray[Any]) -> None:
        # If an index occurs twice, the last value wins, as in numpy.
        at, first = np.unique(at[::-1], return_index=True)
        new = new[::-1][first]
        found = runs(at, self.itemsize, self.itemsize)
        if len(found) * 4 <= len(at):
            self._set_runs(found, new)
            return
        exact = types.has_odd_nan(new)
        if exact.any():
            # The text of a NaN has neither its sign nor its payload.
            self._set_runs(runs(at[exact], self.itemsize, self.itemsize), new[exact])
            at, new = at[~exact], new[~exact]
        for start in range(0, len(at), MANY):
            pairs = zip(at[start : start + MANY].tolist(), new[start : start + MANY])
            self._sender.send(requests.vset(self._key, pairs))

    def _set_runs(self, found: list[tuple[int, int]], new: npt.NDArray[Any]) -> None:
        lengths = [stop - start for start, stop in found]
        ends = np.cumsum([0, *lengths])
        for group in batches([length * self.itemsize for length in lengths]):
            batch = [
                requests.vsetraw(self._key, start, new[begin : begin + length])
                for (start, _), begin, length in zip(found[group], ends[group], lengths[group])
            ]
            self._sender.send_all(batch)

    def append(self, values: Any, *, progress: Optional[Callable[[int], object]] = None, piece: int = PIECE) -> int:
        """Append values, in pieces between which the server answers other clients.

        Nothing is copied but what the client library copies, if the values have the array's dtype and lie back to back; a
        ``numpy.memmap`` may be longer than the memory, and what was sent of it is let go of.

        An append is *not* safe to repeat. If your client repeats commands by itself (redis-py does, unless it is
        told otherwise), a piece may be appended twice when a connection breaks: for exactly once, make the client with
        ``retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0)``.

        Parameters
        ----------
        values : scalar or array-like
            Of one dimension at most.
        progress : callable, optional
            Called after each piece with the number of its values, as ``tqdm.update`` takes it.
        piece : int
            Bytes sent at a time: each piece is appended as a whole or not at all.

        Returns
        -------
        int
            The number of values appended.

        Raises
        ------
        AppendInterrupted
            If the connection breaks. ``appended`` values are there for certain, ``uncertain`` ones perhaps.
        MmapError
            Another error of the server. Exactly ``appended`` values are there.
        TypeError, OverflowError, ValueError
            If a value is not of the array's type; nothing is appended then.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> told = []
        >>> a.append(np.arange(200_000.0), progress=told.append)
        200000
        >>> told
        [131072, 68928]
        """
        given = types.flat(values, self._dtype)
        types.check_cast(given, self._dtype)
        at_once = max(piece // self.itemsize, 1)
        if len(given) > at_once:
            keep_large_blocks()
        passed = Passed(given)
        done = 0
        while done < len(given):
            part = given[done : done + at_once].astype(self._dtype, copy=False)
            try:
                self._sender.send(requests.vaddraw(self._key, part))
            except MmapError as error:
                error.appended = done
                raise
            except Exception as error:
                broken = interrupted(error, done, len(part))
                if broken is None:
                    raise
                raise broken from error
            done += len(part)
            passed.pass_over(len(part) * given.itemsize)
            if progress is not None:
                progress(len(part))
        return done

    def fill(self, value: Any, start: int = 0, stop: Optional[int] = None) -> int:
        """Set all values of a range to one value, in the server, and return how many were set.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.fill(0, 1, -1)
        2
        >>> a[:].tolist()
        [1.5, 0.0, 0.0, 8.0]
        """
        new = types.cast(value, self._dtype)
        first, last = bounds(start, stop)
        if new.size != 1:
            raise ValueError("a range is filled with one value")
        return self._sender.send(requests.vfill(self._key, first, last, new.reshape(-1)[0]))

    def increment(self, indices: Any, by: Any = 1) -> npt.NDArray[Any]:
        """Add to values, in the server, all of them or none, and return the new values.

        Parameters
        ----------
        indices : int or array of int
            Where an index comes twice, both increments are added.
        by : scalar or array-like
            Broadcast.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.increment([0, -1], [10, -8]).tolist()
        [11.5, 0.0]
        """
        found = normalized(indices)
        if isinstance(found, slice):
            raise IndexError("say which values by their indices, as an integer or an array")
        given = np.asarray(found)
        at = positions(given, self.length())
        if at.size == 0:
            return np.empty(at.shape, self._dtype)
        # numpy makes floats of [1, 2**64 - 1].
        steps = np.asarray(by, object if self._dtype.kind in "iu" else None)
        each = np.broadcast_to(steps, at.shape).ravel().tolist()
        replies = self._sender.send(requests.vincrby(self._key, list(zip(at.ravel().tolist(), each))))
        return types.array(self._dtype, replies).reshape(at.shape)

    def pop(self, count: Optional[int] = None) -> Any:
        """Remove and return the last value; with ``count``, an array of at most that many values, in the order of the file.

        Raises
        ------
        IndexError
            Without ``count``, if there is none.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.pop().item(), a.pop(2).tolist()
        (8.0, [2.0, 4.0])
        """
        reply = self._sender.send(requests.vpop(self._key, count))
        if count is not None:
            return types.array(self._dtype, reply or [])[::-1].copy()
        if reply is None:
            raise IndexError("pop from an empty array")
        return types.scalar(self._dtype, reply)

    def trim(self, start: int = 0, stop: Optional[int] = None) -> int:
        """Keep the values ``a[start:stop]``, remove all others, and return how many were removed.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.trim(-3)
        1
        >>> a[:].tolist()
        [2.0, 4.0, 8.0]
        """
        first, last = bounds(start, stop)
        return self._sender.send(requests.vtrim(self._key, first, last))

    def clear(self) -> int:
        """Remove all values and return how many there were."""
        return self._sender.send(requests.vclear(self._key))

    def sync(self) -> None:
        """Wait until everything written is on disk and the file has its exact length."""
        self._sender.send(requests.vsync(self._key))

    def advise(self, advice: str, start: Optional[int] = None, stop: Optional[int] = None) -> None:
        """Say how values will be read: ``random``, ``sequential``, ``normal``; for a range ``willneed`` or ``dontneed``."""
        first, last = (None, None) if start is None and stop is None else bounds(start, stop)
        self._sender.send(requests.vadvise(self._key, advice.upper(), first, last))

    # --8<-- queries in the server
    # The arguments that numpy's functions pass are accepted, too: np.sum(a) calls a.sum(axis=None, out=None).

    def aggregate(self, *ops: str, start: int = 0, stop: Optional[int] = None, skipnan: bool = False) -> dict[str, Any]:
        """Compute several aggregates of a range in one pass, from one snapshot.

        Parameters
        ----------
        *ops : str
            ``count``, ``sum``, ``min``, ``max``, ``mean``, ``var``, ``std``, ``argmin``, ``argmax``.
        start, stop : int, optional
            The range, as in ``a[start:stop]``.
        skipnan : bool
            Leaves out every NaN.

        Returns
        -------
        dict
            The result of each op; None where there are no values.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> found = a.aggregate("count", "min", "mean", "argmax")
        >>> {op: float(answer) for op, answer in found.items()}
        {'count': 4.0, 'min': 1.5, 'mean': 3.875, 'argmax': 3.0}
        """
        first, last = bounds(start, stop)
        words = [_word_of(op) for op in ops]
        replies = self._sender.send(requests.vagg(self._key, first, last, *words, skipnan=skipnan))
        return {op: self._answer(op, reply) for op, reply in zip(ops, replies)}

    def _answer(self, op: str, reply: Any) -> Any:
        if reply is None:
            return None
        if op in ("min", "max"):
            return types.scalar(self._dtype, reply)
        if op in ("count", "argmin", "argmax") or (op == "sum" and self._dtype.kind in "iu"):
            return int(reply)
        return np.float64(float(reply))

    def sum(
        self,
        start: int = 0,
        stop: Optional[int] = None,
        *,
        skipnan: bool = False,
        axis: Any = None,
        dtype: Optional[npt.DTypeLike] = None,
        out: None = None,
    ) -> Any:
        """Return the sum: an exact ``int`` for integers; for floats a ``float64``, added with twice its precision.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.sum().item(), a.sum(1, 3).item()
        (15.5, 6.0)
        """
        check_axis(axis, out)
        found = (self.aggregate("sum", start=start, stop=stop, skipnan=skipnan))["sum"]
        return _of_type(found, dtype)

    def mean(
        self,
        start: int = 0,
        stop: Optional[int] = None,
        *,
        skipnan: bool = False,
        axis: Any = None,
        dtype: Optional[npt.DTypeLike] = None,
        out: None = None,
    ) -> Any:
        """Return the arithmetic mean; NaN if there are no values."""
        check_axis(axis, out)
        found = (self.aggregate("mean", start=start, stop=stop, skipnan=skipnan))["mean"]
        if found is None:
            warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=2)
            return _of_type(np.float64("nan"), dtype)
        return _of_type(np.float64(found), dtype)

    def var(
        self,
        start: int = 0,
        stop: Optional[int] = None,
        *,
        ddof: int = 0,
        skipnan: bool = False,
        axis: Any = None,
        dtype: Optional[npt.DTypeLike] = None,
        out: None = None,
    ) -> Any:
        """Return the variance with the divisor ``count - ddof``; NaN if there are no values."""
        check_axis(axis, out)
        found = self.aggregate("var", "count", start=start, stop=stop, skipnan=skipnan)
        count = found["count"]
        if found["var"] is None or count - ddof <= 0:
            warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
            return _of_type(np.float64("nan"), dtype)
        return _of_type(np.float64(found["var"] * (count / (count - ddof)) if ddof else found["var"]), dtype)

    def std(
        self,
        start: int = 0,
        stop: Optional[int] = None,
        *,
        ddof: int = 0,
        skipnan: bool = False,
        axis: Any = None,
        dtype: Optional[npt.DTypeLike] = None,
        out: None = None,
    ) -> Any:
        """Return the standard deviation; arguments as for :meth:`var`.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> round(a.std(ddof=1).item(), 3)
        2.955
        """
        check_axis(axis, out)
        if ddof:
            return _of_type(np.sqrt(self.var(start, stop, ddof=ddof, skipnan=skipnan)), dtype)
        found = (self.aggregate("std", start=start, stop=stop, skipnan=skipnan))["std"]
        if found is None:
            warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
            return _of_type(np.float64("nan"), dtype)
        return _of_type(np.float64(found), dtype)

    def _one_of(self, op: str, start: int, stop: Optional[int], skipnan: bool) -> Any:
        found = (self.aggregate(op, start=start, stop=stop, skipnan=skipnan))[op]
        if found is None:
            raise ValueError(f"there is no {op} of no values")
        return found

    def min(
        self, start: int = 0, stop: Optional[int] = None, *, skipnan: bool = False, axis: Any = None, out: None = None
    ) -> Any:
        """Return the minimum. It is NaN if any value is, unless NaN is skipped. ValueError if there are no values."""
        check_axis(axis, out)
        return self._one_of("min", start, stop, skipnan)

    def max(
        self, start: int = 0, stop: Optional[int] = None, *, skipnan: bool = False, axis: Any = None, out: None = None
    ) -> Any:
        """Return the maximum, as :meth:`min` does."""
        check_axis(axis, out)
        return self._one_of("max", start, stop, skipnan)

    def argmin(
        self, start: int = 0, stop: Optional[int] = None, *, skipnan: bool = False, axis: Any = None, out: None = None
    ) -> int:
        """Return the index of the first minimum. ValueError if there are no values."""
        check_axis(axis, out)
        return int(self._one_of("argmin", start, stop, skipnan))

    def argmax(
        self, start: int = 0, stop: Optional[int] = None, *, skipnan: bool = False, axis: Any = None, out: None = None
    ) -> int:
        """Return the index of the first maximum. ValueError if there are no values."""
        check_axis(axis, out)
        return int(self._one_of("argmax", start, stop, skipnan))

    def buckets(
        self, n: int, *ops: str, start: int = 0, stop: Optional[int] = None, skipnan: bool = False
    ) -> npt.NDArray[Any]:
        """Divide a range into ``n`` equal parts and compute aggregates of each, in the server, for charts for example.

        Parameters
        ----------
        n : int
            The number of parts, a million at most. There are no more parts than values.
        *ops : str
            As in :meth:`aggregate`; ``min``, ``max`` and ``mean`` if none is given.
        start, stop : int, optional
            The range, as in ``a[start:stop]``.
        skipnan : bool
            Leaves out every NaN. A part that holds nothing else answers with NaN, and -1 for ``argmin`` and ``argmax``.

        Returns
        -------
        numpy.ndarray
            Structured: ``start`` and ``stop`` (the part is ``a[start:stop]``), and a field for each op.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> parts = a.buckets(2, "min", "max")
        >>> parts.dtype.names, parts.tolist()
        (('start', 'stop', 'min', 'max'), [(0, 2, 1.5, 2.0), (2, 4, 4.0, 8.0)])
        """
        ops = ops or ("min", "max", "mean")
        words = [_word_of(op) for op in ops]
        first, last, _ = slice(start, stop).indices(self.length())
        count = max(last - first, 0)
        kinds = [(op, self._bucket_type(op)) for op in ops]
        parts = np.zeros(min(n, count), dtype=[("start", "<i8"), ("stop", "<i8"), *kinds])
        if n < 1:
            raise ValueError(f"a range is divided into at least one part, not {n}")
        if count == 0:
            return parts
        # Exactly, however long the array is.
        edges = [first + part * count // len(parts) for part in range(len(parts) + 1)]
        parts["start"], parts["stop"] = edges[:-1], edges[1:]
        request = requests.vbuckets(self._key, first, last - 1, len(parts), *words, skipnan=skipnan)
        replies = self._sender.send(request)
        for number, (op, kind) in enumerate(kinds):
            nothing = np.array(-1 if op.startswith("arg") else "nan" if kind.kind == "f" else 0).astype(kind)[()]
            answers = [self._answer(op, reply[number]) for reply in replies]
            parts[op] = [nothing if answer is None else answer for answer in answers]
        return parts

    def _bucket_type(self, op: str) -> np.dtype[Any]:
        if op in ("min", "max"):
            return self._dtype
        if op in ("count", "argmin", "argmax"):
            return np.dtype("<i8")
        # Sums of integers may exceed 64 bits.
        return np.dtype(object) if op == "sum" and self._dtype.kind in "iu" else np.dtype("<f8")

    @overload
    def where(
        self,
        *conditions: Any,
        start: int = 0,
        stop: Optional[int] = None,
        limit: Optional[int] = None,
        with_values: Literal[False] = False,
    ) -> npt.NDArray[np.int64]: ...

    @overload
    def where(
        self,
        *conditions: Any,
        start: int = 0,
        stop: Optional[int] = None,
        limit: Optional[int] = None,
        with_values: Literal[True],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]: ...

    def where(
        self,
        *conditions: Any,
        start: int = 0,
        stop: Optional[int] = None,
        limit: Optional[int] = None,
        with_values: bool = False,
    ) -> Union[npt.NDArray[np.int64], tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
        """Return the indices of the values that fulfil one or two comparisons, in ascending order.

        Parameters
        ----------
        *conditions
            ``op, value``, or ``op, value, op, value`` for an interval. An op is one of ``= == != < <= > >=``.
        start, stop : int, optional
            The range, as in ``a[start:stop]``.
        limit : int, optional
            The most indices that are returned.
        with_values : bool
            Returns the values, too.

        Returns
        -------
        numpy.ndarray, or a tuple of two
            The indices, of int64, and the values. They are asked for in portions: what others change at that moment may be
            seen in part.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.where(">", 1.5, "<=", 4).tolist()
        [1, 2]
        >>> indices, values = a.where(">=", 4, with_values=True)
        >>> indices.tolist(), values.tolist()
        ([2, 3], [4.0, 8.0])
        """
        first, last, _ = slice(start, stop).indices(self.length())
        words = self._conditions(conditions)
        indices: list[int] = []
        replies: list[Any] = []
        missing = np.iinfo(np.int64).max if limit is None else limit
        begin = first
        while words is not None and begin < last and missing > 0:
            page = requests.vfind_page(
                self._key, begin, last - 1, *words, count=min(missing, _FOUND_AT_ONCE), withvalues=with_values
            )
            begin, found = self._sender.send(page)
            if with_values and found:
                some, values = zip(*found)
                indices += some
                replies += values
            else:
                indices += found
            missing -= len(found)
            if begin == 0:
                break
        at = np.array(indices, np.int64)
        if not with_values:
            return at
        there = types.array(self._dtype, replies)
        self._restore_nan(there, at)
        return at, there

    def count(self, *conditions: Any, start: int = 0, stop: Optional[int] = None) -> int:
        """Return the number of values that fulfil one or two comparisons, given as in :meth:`where`.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.count(">", 1.5)
        3
        """
        first, last = bounds(start, stop)
        words = self._conditions(conditions)
        if words is None:
            return 0
        return self._sender.send(requests.vfind_count(self._key, first, last, *words))

    def _conditions(self, conditions: tuple[Any, ...]) -> Optional[list[Any]]:
        """Return the arguments for the command; None if no value can fulfil the comparisons."""
        if len(conditions) not in (2, 4):
            raise ValueError("say one or two comparisons, each a word and a value: '>', 5, '<', 7")
        words: list[Any] = []
        for op, value in zip(conditions[::2], conditions[1::2]):
            found = condition(self._dtype, op, value)
            if found is False:
                return None
            if found is not True:
                words += found
        return words or self._always()

    def _always(self) -> list[Any]:
        # A float is never equal to this one: NaN is equal to nothing.
        if self._dtype.kind == "f":
            return ["!=", float("nan")]
        return [">=", b"" if self._dtype.kind == "S" else np.iinfo(self._dtype).min]

    def searchsorted(self, values: Any, side: str = "left", sorter: None = None) -> Any:
        """Return where values belong in an array that is sorted in ascending order, like ``numpy.searchsorted``.

        Parameters
        ----------
        values : scalar or array-like
            Of any number type: they are compared exactly.
        side : {'left', 'right'}
            Before the values that equal it, or after them.
        sorter : None
            Numpy's; the array itself is sorted here.

        Returns
        -------
        int or numpy.ndarray of int64

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> a.searchsorted(3), a.searchsorted([2, 9]).tolist()
        (2, [1, 4])
        >>> a.searchsorted(2, side="right")
        2
        """
        if sorter is not None:
            raise TypeError("the server searches an array that is sorted itself: use np.searchsorted(a[:], ..., sorter=sorter)")
        if self._dtype.kind == "S" and isinstance(values, bytes):
            return self._search(values, side)
        given = np.asarray(values)
        if given.ndim == 0:
            return self._search(values if isinstance(values, int) else given[()], side)
        flat = given.ravel() if given.dtype != object else given.ravel().tolist()
        found = np.zeros(given.size, np.int64)
        asked: dict[str, tuple[list[int], list[Any]]] = {"left": ([], []), "right": ([], [])}
        for number, value in enumerate(flat):
            wanted = insertion(self._dtype, value, side)
            if wanted is not None:
                numbers, targets = asked[wanted[1]]
                numbers.append(number)
                targets.append(wanted[0])
        for each, (numbers, targets) in asked.items():
            for group in batches([self.itemsize] * len(targets)):
                some = self._sender.send(requests.vsearch(self._key, *targets[group], side=each))
                found[numbers[group]] = some
        return found.reshape(given.shape)

    def _search(self, value: Any, side: str) -> int:
        wanted = insertion(self._dtype, value, side)
        return 0 if wanted is None else self._sender.send(requests.vsearch(self._key, wanted[0], side=wanted[1]))

    # --8<-- the file itself

    def memmap(self, root: Union[str, os.PathLike[str], None] = None) -> Memmap:
        """Map the file itself, in a program on the server's machine: no command, no copy. It follows the file as it grows.

        Parameters
        ----------
        root : path, optional
            The server's ``mmap.dir`` as this program sees it. If it is not given, the server is asked, which an ACL may
            withhold; of a Cluster each node has its own, so it must be given.

        Examples
        --------
        >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
        >>> a.append([1.5, 2, 4, 8])
        4
        >>> with a.memmap() as m:
        ...     m[1:].tolist(), len(m)
        ([2.0, 4.0, 8.0], 4)
        """
        path = self.path()
        if root is None:
            if is_cluster(self._client):
                raise ValueError("each node of a Cluster has its own mmap.dir: say which with memmap(root)")
            reply = self._sender.send(Request(("CONFIG GET", "mmap.dir"), lambda reply: reply, True))
            pairs = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))
            root = os.fsdecode(next(iter(pairs.values())))
        return Memmap(os.path.join(root, path), self._dtype)


def _word_of(op: str) -> str:
    if op not in _OPS:
        raise ValueError(f"unknown operation {op!r}: use {', '.join(_OPS)}")
    return _OPS[op]


def _of_type(value: Any, dtype: Optional[npt.DTypeLike]) -> Any:
    return value if dtype is None else np.dtype(dtype).type(value)


def _broadcast(values: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """As numpy does in an assignment, where leading dimensions of length one may be left over."""
    given = values
    while given.ndim > len(shape) and given.shape[0] == 1:
        given = given[0]
    try:
        return np.broadcast_to(given, shape)
    except ValueError:
        raise ValueError(f"could not broadcast input array from shape {values.shape} into shape {shape}") from None
