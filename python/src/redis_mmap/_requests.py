"""Every command of the module as a :class:`Request`: its words, and what to make of the reply. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable, Generic, Optional, TypeVar, Union, cast

from ._types import Key, Value, Word, raw, word

T = TypeVar("T")
#: Index and value of each place that is set.
Pairs = Union[Mapping[int, Any], Iterable["tuple[int, Any]"]]
#: Anything that lies in memory back to back: bytes, a memoryview, an array of numpy.
Buffer = Any


class Request(Generic[T]):
    """A command, and how its reply is read, in RESP2 and RESP3.

    Attributes
    ----------
    words : tuple
        The command and its arguments, as the client library takes them.
    convert : callable
        Makes the result of the reply, in which nothing was decoded.
    has_bytes : bool
        Whether the reply may hold bytes that are no text.
    """

    __slots__ = ("convert", "has_bytes", "words")

    def __init__(self, words: tuple[Any, ...], convert: Callable[[Any], T], has_bytes: bool = False) -> None:
        self.words = words
        self.convert = convert
        self.has_bytes = has_bytes


def _same(reply: Any) -> Any:
    return reply


def _is_ok(reply: Any) -> bool:
    return reply in (b"OK", "OK")


def _text(reply: Any) -> Optional[str]:
    return reply.decode("utf-8", "surrogateescape") if isinstance(reply, bytes) else cast("Optional[str]", reply)


def _status(reply: Any) -> Optional[dict[str, Any]]:
    if reply is None:
        return None
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    return {str(_text(name)): _text(value) if isinstance(value, bytes) else value for name, value in pairs}


def _words_of(pairs: Pairs) -> list[Word]:
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return [each for index, value in items for each in (word(index), word(value))]


def mmap(
    key: Key, path: Union[str, bytes], type: Optional[str] = None, size: Optional[int] = None, writable: bool = False
) -> Request[int]:
    words: list[Word] = [path]
    if type is not None:
        words.append(type)
    if size is not None:
        words.append(str(size))
    if writable:
        words.append("WRITABLE")
    return Request(("MMAP", key, *words), int)


def vadd(key: Key, *values: Any) -> Request[int]:
    return Request(("VADD", key, *map(word, values)), int)


def vpush(key: Key, *values: Any) -> Request[int]:
    return Request(("VPUSH", key, *map(word, values)), int)


def vaddraw(key: Key, data: Buffer) -> Request[int]:
    return Request(("VADDRAW", key, raw(data)), int)


def vget(key: Key, index: int) -> Request[Optional[Value]]:
    return Request(("VGET", key, word(index)), _same, True)


def vmget(key: Key, *indices: int) -> Request[list[Optional[Value]]]:
    return Request(("VMGET", key, *map(word, indices)), _same, True)


def vall(key: Key) -> Request[list[Value]]:
    return Request(("VALL", key), _same, True)


def vset(key: Key, pairs: Pairs) -> Request[int]:
    return Request(("VSET", key, *_words_of(pairs)), int)


def vpop(key: Key, count: Optional[int] = None) -> Request[Any]:
    words = () if count is None else (word(count),)
    return Request(("VPOP", key, *words), _same, True)


def vclear(key: Key) -> Request[int]:
    return Request(("VCLEAR", key), int)


def vsize(key: Key) -> Request[int]:
    return Request(("VSIZE", key), int)


def vcount(key: Key) -> Request[int]:
    return Request(("VCOUNT", key), int)


def vlen(key: Key) -> Request[int]:
    return Request(("VLEN", key), int)


def vitemsize(key: Key) -> Request[int]:
    return Request(("VITEMSIZE", key), int)


def vtype(key: Key) -> Request[Optional[str]]:
    return Request(("VTYPE", key), _text)


def vfilepath(key: Key) -> Request[Optional[str]]:
    return Request(("VFILEPATH", key), _text, True)


def vstat(key: Key) -> Request[Optional[dict[str, Any]]]:
    return Request(("VSTAT", key), _status, True)


def vsync(key: Key) -> Request[bool]:
    return Request(("VSYNC", key), _is_ok)


def vadvise(key: Key, advice: str, start: Optional[int] = None, stop: Optional[int] = None) -> Request[bool]:
    words = () if start is None else (word(start), word(-1 if stop is None else stop))
    return Request(("VADVISE", key, advice, *words), _is_ok)


def vgetraw(key: Key, start: int, stop: int) -> Request[bytes]:
    return Request(("VGETRAW", key, word(start), word(stop)), _same, True)


def vsetraw(key: Key, index: int, data: Buffer) -> Request[int]:
    return Request(("VSETRAW", key, word(index), raw(data)), int)


def vslice(key: Key, start: int, stop: int, step: Optional[int] = None) -> Request[list[Value]]:
    words = () if step is None else ("STEP", word(step))
    return Request(("VSLICE", key, word(start), word(stop), *words), _same, True)


def vlast(key: Key, count: int) -> Request[list[Value]]:
    return Request(("VLAST", key, word(count)), _same, True)


def vfill(key: Key, start: int, stop: int, value: Any) -> Request[int]:
    return Request(("VFILL", key, word(start), word(stop), word(value)), int)


def vincrby(key: Key, pairs: Pairs) -> Request[list[Value]]:
    return Request(("VINCRBY", key, *_words_of(pairs)), _same, True)


def vtrim(key: Key, start: int, stop: int) -> Request[int]:
    return Request(("VTRIM", key, word(start), word(stop)), int)


def _ops_of(ops: tuple[str, ...], skipnan: bool) -> list[str]:
    return [op.upper() for op in ops] + (["SKIPNAN"] if skipnan else [])


def vagg(key: Key, start: int, stop: int, *ops: str, skipnan: bool = False) -> Request[list[Optional[Value]]]:
    return Request(("VAGG", key, word(start), word(stop), *_ops_of(ops, skipnan)), _same, True)


def vbuckets(key: Key, start: int, stop: int, n: int, *ops: str, skipnan: bool = False) -> Request[list[list[Optional[Value]]]]:
    return Request(("VBUCKETS", key, word(start), word(stop), word(n), *_ops_of(ops, skipnan)), _same, True)


def _find(key: Key, start: int, stop: int, conditions: tuple[Any, ...]) -> tuple[Any, ...]:
    return ("VFIND", key, word(start), word(stop), *map(word, conditions))


def _limit(limit: Optional[int], offset: int) -> tuple[Word, ...]:
    return () if limit is None and offset == 0 else ("LIMIT", word(offset), word(-1 if limit is None else limit))


def _pairs(found: list[Any]) -> list[Any]:
    # RESP3 has pairs, RESP2 what is in them one after the other.
    if found and isinstance(found[0], (list, tuple)):
        return [(index, value) for index, value in found]
    return list(zip(found[::2], found[1::2]))


def vfind(
    key: Key, start: int, stop: int, *conditions: Any, limit: Optional[int] = None, offset: int = 0, withvalues: bool = False
) -> Request[list[Any]]:
    words = (*_find(key, start, stop, conditions), *_limit(limit, offset))
    return Request((*words, "WITHVALUES"), _pairs, True) if withvalues else Request(words, _same)


def vfind_page(
    key: Key, start: int, stop: int, *conditions: Any, count: int, withvalues: bool = False
) -> Request[tuple[int, list[Any]]]:
    words = (*_find(key, start, stop, conditions), "COUNT", word(count))
    if withvalues:
        return Request((*words, "WITHVALUES"), lambda reply: (int(reply[0]), _pairs(reply[1])), True)
    return Request(words, lambda reply: (int(reply[0]), reply[1]))


def vfind_count(
    key: Key, start: int, stop: int, *conditions: Any, limit: Optional[int] = None, offset: int = 0
) -> Request[int]:
    return Request((*_find(key, start, stop, conditions), *_limit(limit, offset), "LEN"), int)


def vsearch(key: Key, *values: Any, side: str = "left") -> Request[Any]:
    return Request(("VSEARCH", key, *map(word, values), side.upper()), _same)
