"""What an index means, by numpy's rules, and how to fetch or set it in few commands. Nothing is sent here."""

from __future__ import annotations

import math
import operator
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

#: An integer, a slice, or indices of any shape.
Index = Union[int, slice, npt.NDArray[np.intp]]
Indices = npt.NDArray[np.intp]
# numpy 2 has it there, 1.23 does not.
_AxisError: type[IndexError] = getattr(np, "exceptions", np).AxisError

#: Bytes that cost about as much to read along as an index of its own costs to ask for.
NEAR = 2048
#: The most that is read or written by one command, in bytes: what a server answers in about a millisecond.
PIECE = 1 << 20
#: The most indices that one command names.
MANY = 10_000


def normalized(index: Any) -> Index:
    """The index as an integer, a slice, or an array of integers. A mask is an array of booleans still.

    Raises
    ------
    IndexError
        If it is nothing that a one-dimensional array can have.
    """
    if isinstance(index, tuple):
        if len(index) > 1:
            raise IndexError(f"too many indices for array: array is 1-dimensional, but {len(index)} were indexed")
        index = index[0] if index else Ellipsis
    if index is Ellipsis:
        return slice(None)
    if isinstance(index, slice):
        return index
    if index is None or isinstance(index, (bool, np.bool_)):
        raise IndexError("np.newaxis and single booleans would add a dimension: index a[:] with them instead")
    if not isinstance(index, (list, np.ndarray)):
        try:
            return operator.index(index)
        except TypeError:
            pass
    indices = np.asarray(index)
    if indices.size == 0 and not isinstance(index, np.ndarray):
        indices = indices.astype(np.intp)
    if indices.dtype.kind not in "iub":
        raise IndexError("only integers, slices (`:`), ellipsis (`...`), and integer or boolean arrays are valid indices")
    if indices.ndim == 0:
        return operator.index(indices[()])
    return indices


def positions(indices: npt.NDArray[Any], count: int) -> Indices:
    """Indices as positions in an array of ``count`` values: what is negative counts from the end, a mask is looked through."""
    if indices.dtype.kind == "b":
        if indices.shape != (count,):
            raise IndexError(
                f"boolean index did not match indexed array along axis 0; size of axis is {count} but size of "
                f"corresponding boolean axis is {indices.shape[0]}"
            )
        return np.flatnonzero(indices)
    wrong = (indices < -count) | (indices >= count)
    if wrong.any():
        raise out_of_bounds(int(indices[wrong][0]), count)
    at = indices.astype(np.intp)
    return np.where(at < 0, at + count, at)


def check_axis(axis: Any, out: Any = None) -> None:
    """Numpy's ``axis`` and ``out`` of a reduction: of one dimension there is one axis, and answers of the server are scalars.

    Raises
    ------
    numpy.exceptions.AxisError
        If there is no such axis.
    TypeError
        If ``out`` is given.
    """
    if out is not None:
        raise TypeError("what the server answers is returned, and cannot go into out=")
    for each in axis if isinstance(axis, tuple) else () if axis is None else (axis,):
        if not -1 <= operator.index(each) <= 0:
            raise _AxisError(operator.index(each), 1)


def out_of_bounds(index: int, count: int) -> IndexError:
    """Numpy's words."""
    return IndexError(f"index {index} is out of bounds for axis 0 with size {count}")


def at_most(index: slice) -> Optional[int]:
    """How many values a slice without a step has at most, where that does not depend on the array; else None."""
    if index.step is not None and operator.index(index.step) != 1:
        return None
    start = 0 if index.start is None else operator.index(index.start)
    stop = None if index.stop is None else operator.index(index.stop)
    if stop is None:
        return -start if start < 0 else None
    if (start < 0) == (stop < 0):
        return max(stop - start, 0)
    return None


def bounds(start: Optional[int], stop: Optional[int]) -> tuple[int, int]:
    """A range of Python's as one of ``LRANGE``, whose end is included. An empty one starts behind its end."""
    first = 0 if start is None else operator.index(start)
    if stop is None:
        return first, -1
    last = operator.index(stop)
    # What ends before the first value is empty; -1 would be the last one.
    return (1, 0) if last == 0 else (first, last - 1)


def runs(at: Indices, itemsize: int, gap: int, longest: int = PIECE) -> list[tuple[int, int]]:
    """Ascending, distinct positions as ranges of the array, no longer than ``longest`` bytes.

    Positions that are less than ``gap`` bytes apart share a range.

    >>> runs(np.array([1, 2, 3, 9]), 8, gap=8)
    [(1, 4), (9, 10)]
    """
    if len(at) == 0:
        return []
    most = max(longest // itemsize, 1)
    steps = np.diff(at)
    breaks = np.flatnonzero(steps * itemsize > gap) + 1
    firsts = at[np.concatenate([[0], breaks])].tolist()
    lasts = at[np.concatenate([breaks - 1, [len(at) - 1]])].tolist()
    found = []
    for first, last in zip(firsts, lasts):
        for start in range(first, last + 1, most):
            found.append((start, min(start + most, last + 1)))
    return found


def batches(sizes: list[int], most: int = PIECE, many: int = MANY) -> list[slice]:
    """Divides commands of these sizes in bytes into batches that are sent at once."""
    found, start, total = [], 0, 0
    for number, size in enumerate(sizes):
        if number > start and (total + size > most or number - start >= many):
            found.append(slice(start, number))
            start, total = number, 0
        total += size
    if start < len(sizes):
        found.append(slice(start, len(sizes)))
    return found


# --8<-- comparisons with values that the array's type does not have

_FLOOR = {">": ">", ">=": ">", "<": "<=", "<=": "<="}


def condition(dtype: np.dtype[Any], op: str, value: Any) -> Union[bool, tuple[str, Any]]:
    """A comparison as the server can make it, whose values are those of the type; True or False if it always or never holds.

    >>> condition(np.dtype("i4"), ">=", 2.5)
    ('>', 2)
    >>> condition(np.dtype("u1"), "<", 300)
    True
    """
    if op == "==":
        op = "="
    if op not in ("=", "!=", *_FLOOR):
        raise ValueError(f"unknown comparison {op!r}: use =, !=, <, <=, > or >=")
    if dtype.kind == "S":
        value = _as_bytes(value)
        if len(value) <= dtype.itemsize:
            return op, value
        # The longest part that fits lies just below it.
        return (op == "!=") if op in ("=", "!=") else (_FLOOR[op], value[: dtype.itemsize])
    if _is_nan(value):
        return (op, value) if dtype.kind == "f" else op == "!="
    if dtype.kind == "f" and type(value) in (int, float):
        # As numpy has it, a number of Python is one of the array's type: 0.1 is found among float32.
        with np.errstate(over="ignore"):
            nearest = dtype.type(value)
        if np.isfinite(nearest):
            return op, nearest
    below = floor(dtype, value)
    if below is None:
        return op in ("!=", ">", ">=")
    if _exact(below) == _exact(value):
        return op, below
    if op in ("=", "!="):
        return op == "!="
    if dtype.kind in "iu" and below == np.iinfo(dtype).max:
        return op in ("<", "<=")
    return _FLOOR[op], below


def floor(dtype: np.dtype[Any], value: Any) -> Any:
    """The greatest value of the type that is not above this one; None if all are."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if isinstance(value, (float, np.floating)):
            if np.isinf(value):
                return info.max if value > 0 else None
            value = math.floor(value)
        value = operator.index(value)
        return None if value < info.min else min(value, int(info.max))
    with np.errstate(over="ignore"):
        nearest = dtype.type(value)
    # Python compares integers and floats exactly.
    if _exact(nearest) > _exact(value):
        nearest = np.nextafter(nearest, dtype.type(-np.inf))
    return nearest


def _exact(value: Any) -> Any:
    if isinstance(value, np.longdouble) and not isinstance(value, np.float64):
        return value
    return value.item() if isinstance(value, np.generic) else value


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _as_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"an array of strings is compared with bytes, and {value!r} is {type(value).__name__}")
    return bytes(value)


def insertion(dtype: np.dtype[Any], value: Any, side: str) -> Union[tuple[Any, str], None]:
    """The value and side of a search as the server can make it; None for a value that is below all."""
    if side not in ("left", "right"):
        raise ValueError(f"side is 'left' or 'right', not {side!r}")
    if dtype.kind == "S":
        value = _as_bytes(value)
        return (value, side) if len(value) <= dtype.itemsize else (value[: dtype.itemsize], "right")
    if _is_nan(value):
        return (value, side) if dtype.kind == "f" else (np.iinfo(dtype).max, "right")
    below = floor(dtype, value)
    if below is None:
        return None
    return (below, side) if _exact(below) == _exact(value) else (below, "right")
