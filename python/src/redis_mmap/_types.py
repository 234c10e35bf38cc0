"""The module's types as numpy dtypes, and values as the text that a command takes and replies with."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from typing import Any, Union

import numpy as np
import numpy.typing as npt

#: What identifies a key.
Key = Union[str, bytes]
#: A path of a file below the server's ``mmap.dir``.
Path = Union[str, bytes, "os.PathLike[str]"]
#: A word of a command, as a client library takes it.
Word = Union[str, bytes, memoryview]
#: A value as a command replies with it: an integer; a float in RESP3, its text in RESP2; the bytes of a string.
Value = Union[int, float, bytes]

# The module's name of each type, by numpy's kind and size.
_NAMES = {
    "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32", "i8": "int64",
    "u8": "uint64", "f4": "float", "f8": "double", "f16": "long_double",
}  # fmt: skip
_CODES = {name: code for code, name in _NAMES.items()}
#: Longest string of an array, in bytes.
LONGEST_STRING = 65535

# The module's long_double is x87's number of 80 bits. numpy's longdouble is the C compiler's: on aarch64, another number of
# as many bytes.
_LONGDOUBLE_IS_X87 = np.finfo(np.longdouble).nmant == 63


def _numpy_code(name: str) -> str:
    if name == "long_double" and not _LONGDOUBLE_IS_X87:
        raise TypeError(
            "numpy's longdouble is not the 80-bit number of x87 on this machine, which long_double of the module is: use f8"
        )
    return _CODES[name]


def dtype_of(spec: npt.DTypeLike) -> np.dtype[Any]:
    """The dtype that an array of the module can have, little-endian.

    Raises
    ------
    TypeError
        If there is no such type in the module; the message names those that are.
    """
    dtype = np.dtype(spec)
    if dtype.kind == "S":
        if not 1 <= dtype.itemsize <= LONGEST_STRING:
            raise TypeError(f"strings have 1 to {LONGEST_STRING} bytes: say how many, as in 'S16'")
        return dtype
    code = f"{dtype.kind}{dtype.itemsize}"
    if code not in _NAMES:
        known = ", ".join(_NAMES)
        raise TypeError(f"an array cannot hold values of dtype {dtype}: use {known}, or S with a number of bytes")
    _numpy_code(_NAMES[code])
    if dtype.byteorder == ">":
        raise TypeError(f"values are little-endian in the file: dtype {dtype.str!r} is not, {dtype.str[1:]!r} is")
    return dtype.newbyteorder("<")


def words_of(dtype: np.dtype[Any]) -> tuple[str, ...]:
    """The type as ``MMAP`` takes it: its name and, of strings, their size."""
    if dtype.kind == "S":
        return ("string", str(dtype.itemsize))
    return (_NAMES[f"{dtype.kind}{dtype.itemsize}"],)


def dtype_named(name: str, itemsize: int) -> np.dtype[Any]:
    """The dtype of what ``VTYPE`` and ``VITEMSIZE`` tell."""
    if name == "string":
        return np.dtype(f"S{itemsize}")
    if name not in _CODES:
        raise TypeError(f"the server has a type {name!r} that this version of redis_mmap does not know")
    return np.dtype(_numpy_code(name)).newbyteorder("<")


def word(value: Any) -> Word:
    """A value as the word of a command, exactly.

    The client libraries take ``repr`` of a number, which of numpy 2's scalars is ``np.float64(1.5)``.
    """
    if type(value) is int:
        return str(value)
    if isinstance(value, (str, bytes, memoryview)):
        # Of numpy's strings, too: they are bytes and str.
        return value
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, np.longdouble) and not isinstance(value, np.float64):
        return str(np.format_float_scientific(value, unique=True)) if np.isfinite(value) else repr(float(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (bytearray, np.ndarray)):
        return raw(value)
    raise TypeError(f"{type(value).__name__} is no value of an array: {value!r}")


def raw(values: Any) -> memoryview:
    r"""The bytes of a buffer or an array, without a copy where they lie back to back.

    >>> raw(np.array([1, 2], "<i2")).tobytes()
    b'\x01\x00\x02\x00'
    """
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    return memoryview(values).cast("B")


def scalar(dtype: np.dtype[Any], reply: Any) -> Any:
    """One reply as a value of the array's type; None stays None."""
    if reply is None:
        return None
    if dtype.kind == "S":
        return np.bytes_(reply)
    if dtype.kind in "iu":
        return dtype.type(int(reply))
    if dtype.itemsize > 8:
        return dtype.type(_text(reply))
    return dtype.type(float(reply))


def array(dtype: np.dtype[Any], replies: Iterable[Any]) -> npt.NDArray[Any]:
    """Replies, none of them None, as an array. NaN loses its sign and payload on the way through text."""
    if dtype.kind == "S":
        return np.array(list(replies), dtype)
    if dtype.kind in "iu":
        return np.array([int(reply) for reply in replies], dtype)
    if dtype.itemsize > 8:
        return np.array([dtype.type(_text(reply)) for reply in replies], dtype)
    return np.array([float(reply) for reply in replies], np.float64).astype(dtype)


def _text(reply: Any) -> str:
    return reply.decode("ascii") if isinstance(reply, bytes) else str(reply)


def cast(values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Values as an array of the dtype, each one exactly or rounded to the nearest; never wrapped, never cut off.

    An array that has the dtype already is returned as it is.

    Raises
    ------
    TypeError
        If the kinds differ, as those of floats and integers.
    OverflowError, ValueError
        If a value does not fit.
    """
    given = values if isinstance(values, np.ndarray) else _array_of(values, dtype)
    if given.dtype == dtype:
        return given
    if given.size == 0 and not isinstance(values, np.ndarray):
        return given.astype(dtype)
    if given.dtype.kind == "b":
        given = given.astype(np.uint8)
    check_cast(given, dtype)
    return given.astype(dtype)


def _array_of(values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind == "S":
        return np.asarray(values)
    given = np.asarray(values)
    if given.dtype == object and dtype.kind in "iu":
        # Integers of Python that fit no dtype together, such as -1 and 2**64 - 1.
        return np.array([_integer(value, dtype) for value in given.ravel()], dtype).reshape(given.shape)
    if given.dtype == object and dtype.kind == "f" and all(isinstance(value, int) for value in given.ravel()):
        # Integers beyond those of numpy.
        return given.astype(dtype)
    if given.dtype.kind == "f" and dtype.kind in "iu" and _are_all_integers(values):
        # numpy makes floats of [0, 2**64 - 1].
        return np.array([_integer(value, dtype) for value in values], dtype)
    return given


def _integer(value: Any, dtype: np.dtype[Any]) -> int:
    try:
        integer = operator.index(value)
    except TypeError:
        raise TypeError(f"{value!r} is no integer, as the values of an array of {dtype} are: convert it first") from None
    _check_range(integer, dtype)
    return integer


def _check_range(value: int, dtype: np.dtype[Any]) -> None:
    info = np.iinfo(dtype)
    if not info.min <= value <= info.max:
        raise OverflowError(f"{value} is out of range for {dtype} ({info.min} to {info.max})")


def _are_all_integers(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and all(isinstance(value, (int, np.integer)) for value in values)


def flat(values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Values that are to be appended, in one dimension.

    Raises
    ------
    ValueError
        If they have more than one.
    """
    given = values if isinstance(values, np.ndarray) else cast(values, dtype)
    if given.ndim > 1:
        raise ValueError(f"an array has one dimension, and these values have {given.ndim}: ravel() them")
    return given.reshape(-1)


def check_cast(given: npt.NDArray[Any], dtype: np.dtype[Any]) -> None:
    """Raises what :func:`cast` raises. It needs no memory to speak of, however long the array is."""
    if given.dtype == dtype or given.size == 0:
        return
    kinds = given.dtype.kind + dtype.kind
    if kinds == "SS":
        # numpy would cut off what is too long.
        if given.dtype.itemsize > dtype.itemsize:
            for part in _parts(given):
                lengths = np.char.str_len(part)
                if lengths.max() > dtype.itemsize:
                    long = part[int(lengths.argmax())]
                    raise ValueError(
                        f"{bytes(long)!r} is {lengths.max()} bytes long; an array of {dtype} holds {dtype.itemsize}"
                    )
    elif kinds in ("ii", "iu", "ui", "uu", "bi", "bu"):
        for part in _parts(given):
            for value in (int(part.min()), int(part.max())):
                _check_range(value, dtype)
    elif kinds in ("ff", "if", "uf", "bf"):
        if kinds == "ff" and given.dtype.itemsize > dtype.itemsize:
            for part in _parts(given):
                with np.errstate(over="ignore"):
                    lost = np.isinf(part.astype(dtype)) & np.isfinite(part)
                if lost.any():
                    raise OverflowError(f"{part[lost][0]} is out of range for {dtype}")
    else:
        raise TypeError(f"values of dtype {given.dtype} are no {dtype}: convert them first, with astype")


def _parts(values: npt.NDArray[Any], size: int = 1 << 18) -> Iterable[npt.NDArray[Any]]:
    flat = values.reshape(-1)
    return (flat[start : start + size] for start in range(0, len(flat), size))


def has_odd_nan(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which values are a NaN that the text ``nan`` does not stand for: one with a sign or a payload."""
    if values.dtype.kind != "f":
        return np.zeros(len(values) if values.ndim else 1, np.bool_)
    flat = np.ascontiguousarray(values).reshape(-1)
    odd: npt.NDArray[np.bool_] = np.isnan(flat)
    if odd.any():
        # x87's values have ten bytes; the other six may be anything.
        used = 10 if flat.dtype.itemsize == 16 else flat.dtype.itemsize
        usual = np.array([np.nan], flat.dtype).view(np.uint8)[:used]
        odd[odd] = (flat[odd].view(np.uint8).reshape(-1, flat.dtype.itemsize)[:, :used] != usual).any(axis=1)
    return odd
