"""What an array does, with every client."""

from __future__ import annotations

import warnings
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import redis

import redis_mmap

from .conftest import filled
from .support import Server

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "longdouble", "S7"]


def some_values(dtype: str, count: int = 50) -> Any:
    random = np.random.default_rng(7)
    found = np.dtype(dtype)
    if found.kind == "S":
        return random.integers(1, 256, (count, found.itemsize), dtype="u1").view(found).reshape(count)
    if found.kind in "iu":
        info = np.iinfo(found)
        values = random.integers(info.min, info.max, count, dtype=found, endpoint=True)
        values[:2] = info.min, info.max
        return values
    values = (random.standard_normal(count) * 10.0 ** random.integers(-30, 30, count)).astype(found)
    values[:5] = np.nan, np.inf, -np.inf, -0.0, np.finfo(found).max
    return values


def same_bits(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape and significant(a) == significant(b))


def significant(values: Any) -> bytes:
    """The bytes that count: x87's long double leaves six as they were."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype == np.longdouble and flat.dtype.itemsize == 16:
        return flat.view("u1").reshape(-1, 16)[:, :10].tobytes()
    return flat.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_of_every_type_come_back_as_they_were(client: Any, name: str, dtype: str) -> None:
    values = some_values(dtype)
    a = filled(client, name, values)
    assert a.dtype == values.dtype
    assert same_bits(a[:], values)
    assert same_bits(np.asarray(a), values)
    for number in (0, 1, 3, -1, len(values) - 1):
        assert same_bits(a[number], values[number])
        assert type(a[number]) is type(values[number])
    for index in ([1, 5, 9], [-1, 0, 0], np.arange(0, 50, 7), values.astype(bytes) == values.astype(bytes)[1]):
        assert same_bits(a[index], values[index])
    assert same_bits(a[10:20:2], values[10:20:2])
    assert same_bits(a[::-1], values[::-1])
    a[3:6] = values[:3]
    values[3:6] = values[:3]
    a[[7, -2]] = values[[0, 2]]
    values[[7, -2]] = values[[0, 2]]
    a[-1] = values[5]
    values[-1] = values[5]
    assert same_bits(a[:], values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_indices_are_exact(client: Any, name: str, dtype: str) -> None:
    """Those that are asked for one by one, and so come as text."""
    values = np.tile(some_values(dtype), 400)
    a = filled(client, name, values)
    at = np.array([0, 1, 4000, 4001, 8000, 8003, 12000, 16050, 16100, 19999, 50, 3, 3])
    assert same_bits(a[at], values[at])
    assert same_bits(a[::3001], values[::3001])
    assert same_bits(a[-1::-3001], values[-1::-3001])
    new = values[at][::-1].copy()
    a[at] = new
    values[at] = new
    assert same_bits(a[:], values)


def test_nan_keeps_its_sign_and_payload(client: Any, name: str) -> None:
    values = np.zeros(5000)
    values.view("u8")[[1, 2000, 4000]] = 0x7FF8000000001234, 0xFFF8000000000000, 0x7FF0000000000001
    a = filled(client, name, values)
    assert same_bits(a[[1, 2000, 4000]], values[[1, 2000, 4000]])
    assert same_bits(a[::2000], values[::2000])
    a[[0, 3000, 4500]] = values[[1, 2000, 4000]]
    assert a[[0, 3000, 4500]].view("u8").tolist() == values[[1, 2000, 4000]].view("u8").tolist()


def test_what_numpy_says_of_a_bad_index(client: Any, name: str) -> None:
    a = filled(client, name, np.arange(3.0))
    for index in (3, -4, [0, 3], np.array([True, False]), (0, 1), 1.5, "x", None, True):
        with pytest.raises(IndexError):
            a[index]
        with pytest.raises(IndexError):
            a[index] = 1.0
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 0 with size 3"):
        a[3]


def test_a_value_that_the_type_does_not_have_is_refused_and_nothing_is_written(client: Any, name: str) -> None:
    a = filled(client, name, np.array([1, 2, 3], "u1"))
    for value, error in ((256, OverflowError), (-1, OverflowError), (1.5, TypeError), (b"x", TypeError), ("1", TypeError)):
        with pytest.raises(error):
            a[0] = value
        with pytest.raises(error):
            a.append([1, value] if not isinstance(value, (bytes, str)) else [value])
    for fraction in (Decimal("1.9"), Fraction(5, 2)):
        for values in ([fraction], [1, fraction], [1.9, fraction]):
            with pytest.raises(TypeError, match="is no integer"):
                a.append(values)
        with pytest.raises(TypeError, match="is no integer"):
            a[0] = fraction
        with pytest.raises(TypeError, match="is no integer"):
            a.fill(fraction)
    for large in ([2**64], [0, 2**64], [-1, 2**64 - 1]):
        with pytest.raises(OverflowError, match="out of range for uint64"):
            filled(client, f"{name}u", np.array([], "u8")).append(large)
    with pytest.raises(ValueError, match="7 bytes long"):
        filled(client, f"{name}s", np.array([b"a"], "S3")).append([b"ab", b"abcdefg"])
    with pytest.raises(OverflowError, match="1e\\+300"):
        filled(client, f"{name}f", np.array([1], "f4")).append(np.array([1, 1e300]))
    with pytest.raises(ValueError, match="with a sequence"):
        a[0] = [1]
    with pytest.raises(ValueError, match="one dimension"):
        a.append(np.zeros((2, 2), "u1"))
    assert a[:].tolist() == [1, 2, 3]


def test_values_are_converted_where_that_is_exact_or_rounded(plain: Any, name: str) -> None:
    a = filled(plain, name, np.array([0.5], "f4"))
    a.append([1, 2.25])
    a.append(np.arange(3, dtype="u2"))
    a.append(7)
    a[0] = True
    assert a[:].tolist() == [1, 1, 2.25, 0, 1, 2, 7]
    big = filled(plain, f"{name}u", np.array([0], "u8"))
    big.append([2**64 - 1, 2**63])
    big.append([0, 2**64 - 1])
    assert big[:].tolist() == [0, 2**64 - 1, 2**63, 0, 2**64 - 1]
    assert big.increment([0, -1], [2**64 - 1, -1]).tolist() == [2**64 - 1, 2**64 - 2]
    wide = filled(plain, f"{name}d", np.array([0.5]))
    wide.append([2**64])
    assert wide[:].tolist() == [0.5, 2.0**64]


def test_an_append_takes_arrays_that_do_not_lie_back_to_back_and_tells_its_progress(client: Any, name: str) -> None:
    values = np.arange(100_000, dtype="f8")
    a = filled(client, name, values[::7])
    told: list[int] = []
    assert a.append(values[::-3], progress=told.append, piece=100_000) == len(values[::-3])
    assert sum(told) == len(values[::-3])
    assert max(told) == 12_500
    assert np.array_equal(a[:], np.concatenate([values[::7], values[::-3]]))


def test_long_ranges_are_read_and_set_in_pieces(client: Any, name: str) -> None:
    values = np.random.default_rng(1).standard_normal(700_001)
    a = filled(client, name, values)
    assert same_bits(a[:], values)
    assert same_bits(a[3:-5:3], values[3:-5:3])
    assert same_bits(a[::-1], values[::-1])
    a[5:-7] = values[12:]
    values[5:-7] = values[12:].copy()
    a[100:-100] = 2.5
    values[100:-100] = 2.5
    a[10:600_000:2] = np.nan
    values[10:600_000:2] = np.nan
    assert same_bits(a[:], values)
    assert same_bits(np.concatenate(list(a.chunks(99_999, 10, -1))), values[10:-1])
    out = np.empty(1000)
    assert a.read_into(out, 699_500) == 501
    assert same_bits(out[:501], values[699_500:])
    with pytest.raises(TypeError):
        a.read_into(np.empty(3, "f4"))
    assert same_bits(np.array(list(a), "f8"), values)


def test_reductions_are_numpys(client: Any, name: str) -> None:
    values = np.random.default_rng(2).standard_normal(1000)
    a = filled(client, name, values)
    assert np.isclose(a.sum(), values.sum())
    assert np.isclose(a.mean(), values.mean())
    assert np.isclose(a.std(), values.std())
    assert np.isclose(a.std(ddof=1), values.std(ddof=1))
    assert np.isclose(a.var(10, -10, ddof=2), values[10:-10].var(ddof=2))
    assert [a.min(), a.max()] == [values.min(), values.max()]
    assert [a.argmin(), a.argmax()] == [int(values.argmin()), int(values.argmax())]
    assert a.max(100, 200) == values[100:200].max()
    assert a.argmax(100, 200) == 100 + values[100:200].argmax()
    assert a.aggregate("min", "count", start=-5) == {"min": values[-5:].min(), "count": 5}
    a[500] = np.nan
    assert np.isnan(a.sum())
    assert np.isnan(a.min())
    values[500] = np.nan
    assert np.isclose(a.sum(skipnan=True), np.nansum(values))
    with pytest.raises(ValueError, match="unknown operation 'median'"):
        a.aggregate("median")


def test_reductions_of_integers_are_exact(client: Any, name: str) -> None:
    a = filled(client, name, np.array([2**64 - 1, 2**64 - 1, 3], "u8"))
    assert a.sum() == 2 * (2**64 - 1) + 3
    assert a.max() == 2**64 - 1
    assert type(a.max()) is np.uint64
    names = filled(client, f"{name}s", np.array([b"b", b"a", b"c"], "S4"))
    assert (names.min(), names.max(), names.argmax()) == (b"a", b"c", 2)
    with pytest.raises(redis_mmap.MmapError):
        names.sum()


def test_an_empty_array_answers_as_numpys_does(client: Any, name: str) -> None:
    a = filled(client, name, np.array([], "f8"))
    assert (len(a), a.shape, a.sum(), a[:].tolist(), a[[]].tolist(), a[::-1].tolist()) == (0, (0,), 0, [], [], [])
    for method in (a.min, a.max, a.argmin, a.argmax):
        with pytest.raises(ValueError, match="no values"):
            method()
    for method in (a.mean, a.std, a.var):
        with pytest.warns(RuntimeWarning):
            assert np.isnan(method())
    assert len(a.buckets(10)) == 0
    assert len(a.where(">", 0)) == 0
    assert a.searchsorted([1, 2]).tolist() == [0, 0]
    with pytest.raises(IndexError):
        a.pop()
    a[:] = 5
    assert repr(a) == f"Array({name!r}, [], dtype=float64, shape=(0,))"


def test_where_and_count_are_numpys(client: Any, name: str) -> None:
    values = np.random.default_rng(3).integers(0, 100, 20_000).astype("i4")
    a = filled(client, name, values)
    assert np.array_equal(a.where(">", 50), np.flatnonzero(values > 50))
    assert np.array_equal(a.where(">=", 10.5, "<", 20.5), np.flatnonzero((values >= 10.5) & (values < 20.5)))
    assert np.array_equal(a.where("==", 7, limit=3), np.flatnonzero(values == 7)[:3])
    assert np.array_equal(a.where("=", 7, start=-1000), 19_000 + np.flatnonzero(values[-1000:] == 7))
    assert len(a.where("=", 7.5)) == 0
    assert len(a.where("!=", 7.5)) == len(values)
    assert len(a.where("<", 2**80)) == len(values)
    assert len(a.where(">", float("nan"))) == 0
    assert a.count("<", 30) == (values < 30).sum()
    assert 7 in a
    assert 101 not in a
    with pytest.raises(ValueError, match="unknown comparison"):
        a.where("~", 1)
    with pytest.raises(ValueError, match="one or two comparisons"):
        a.where(">")


def test_where_goes_on_after_what_one_command_finds(plain: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from redis_mmap._sync import array

    monkeypatch.setattr(array, "_FOUND_AT_ONCE", 1000)
    values = np.tile(np.array([0, 1, 1], "u1"), 3000)
    a = filled(plain, name, values)
    assert np.array_equal(a.where("=", 1), np.flatnonzero(values))
    assert np.array_equal(a.where("=", 1, limit=1000), np.flatnonzero(values)[:1000])
    assert np.array_equal(a.where("=", 1, limit=1001), np.flatnonzero(values)[:1001])


def test_where_returns_the_values_too(client: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from redis_mmap._sync import array

    monkeypatch.setattr(array, "_FOUND_AT_ONCE", 7)
    for dtype in DTYPES:
        values = some_values(dtype)
        if dtype == "f8":
            values.view("u8")[40:42] = 0x7FF8000000001234, 0xFFF8000000000000
        a = filled(client, f"{name}{dtype}", values)
        at, there = a.where("!=", values[7], with_values=True)
        assert np.array_equal(at, np.flatnonzero(values != values[7]))
        assert same_bits(there, values[at])
        at, there = a.where("!=", values[7], limit=9, with_values=True)
        assert len(at) == 9
        assert same_bits(there, values[at])
        at, there = a.where("=", values[7], "!=", values[7], with_values=True)
        assert (len(at), len(there), there.dtype) == (0, 0, values.dtype)


def test_an_array_of_values_is_searched_for_with_few_commands(plain: Any, name: str) -> None:
    values = np.sort(np.random.default_rng(6).integers(-(2**62), 2**62, 50_000))
    a = filled(plain, name, values)
    wanted = np.random.default_rng(7).integers(-(2**62), 2**62, (250, 100))
    plain.config_resetstat()
    assert np.array_equal(a.searchsorted(wanted), np.searchsorted(values, wanted))
    assert plain.info("commandstats")["cmdstat_vsearch"]["calls"] == 3
    words = filled(plain, f"{name}s", np.array([b"LEFT", b"RIGHT", b"z"], "S5"))
    assert words.searchsorted(np.array([b"RIGHT", b"LEFT"], "S5")).tolist() == [1, 0]
    assert words.searchsorted(np.array([b"LEFT"], "S5"), "right").tolist() == [1]
    wide = filled(plain, f"{name}w", np.array([b"a" * 65535, b"b"], "S65535"))
    assert wide.searchsorted(np.array([b"a", b"b", b"c"] * 50, "S65535")).tolist() == [0, 1, 2] * 50


def test_searchsorted_is_numpys(client: Any, name: str) -> None:
    values = np.sort(np.random.default_rng(4).integers(-50, 50, 1000)).astype("i2")
    a = filled(client, name, values)
    wanted: Any = [-60, -50, -3.5, 0, 7, 7.25, 49, 50, 1e9, np.inf, -np.inf]
    for side in SIDES:
        assert np.array_equal(a.searchsorted(wanted, side), np.searchsorted(values, wanted, side))
    assert a.searchsorted(3) == np.searchsorted(values, 3)
    floats = filled(client, f"{name}f", np.array([0.1, 0.2, 0.3, np.nan], "f4"))
    wide = floats[:].astype("f8")
    for wanted in ([0.1, 0.2, 0.3], [np.nan, 1e300, -1e300]):
        for side in SIDES:
            assert np.array_equal(floats.searchsorted(wanted, side), np.searchsorted(wide, wanted, side))
    assert floats.where("=", 0.1).tolist() == [0]
    assert floats.where(">", np.float64(0.1)).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="side"):
        a.searchsorted(1, "up")


def test_buckets_are_a_structured_array(client: Any, name: str) -> None:
    values = np.random.default_rng(5).standard_normal(1003)
    a = filled(client, name, values)
    parts = a.buckets(10)
    assert parts.dtype.names == ("start", "stop", "min", "max", "mean")
    for part in parts:
        inside = values[part["start"] : part["stop"]]
        assert (part["min"], part["max"]) == (inside.min(), inside.max())
        assert np.isclose(part["mean"], inside.mean())
    assert (parts["start"][0], parts["stop"][-1]) == (0, 1003)
    some = a.buckets(7, "argmax", "count", start=100, stop=-100)
    for part in some:
        assert part["argmax"] == part["start"] + values[part["start"] : part["stop"]].argmax()
        assert part["count"] == part["stop"] - part["start"]
    assert len(a.buckets(5000)) == 1003
    a[:200] = np.nan
    skipped = a.buckets(10, "min", "argmin", skipnan=True)
    assert np.isnan(skipped["min"][0])
    assert skipped["argmin"][0] == -1
    whole = filled(client, f"{name}u", np.array([2**64 - 1] * 4, "u8")).buckets(2, "sum", "max")
    assert whole["sum"].tolist() == [2 * (2**64 - 1)] * 2


def test_what_removes_and_changes_in_place(client: Any, name: str) -> None:
    a = filled(client, name, np.arange(10, dtype="i4"))
    assert a.pop() == 9
    assert a.pop(3).tolist() == [6, 7, 8]
    assert a.increment([0, 0, -1], [1, 2, -5]).tolist() == [1, 3, 0]
    assert a.increment(1) == 2
    assert a.fill(4, 2, 4) == 2
    assert a[:].tolist() == [3, 2, 4, 4, 4, 0]
    assert a.trim(1, -1) == 2
    assert a[:].tolist() == [2, 4, 4, 4]
    a.sync()
    a.advise("random")
    a.advise("willneed", 0, 2)
    assert a.stat()["count"] == 4
    assert a.path() == name
    out = np.zeros(3, "i4")
    assert a.read_into(out, -2) == 2
    assert out.tolist() == [4, 4, 0]
    assert a.increment([]).tolist() == []
    assert a.clear() == 4
    assert len(a) == 0
    client.delete(name)
    assert a.pop(2).tolist() == []


def test_repr_shows_what_is_there_and_never_fails(client: Any, name: str) -> None:
    a = filled(client, name, np.arange(1, 101) / 2)
    assert repr(a) == f"Array({name!r}, [0.5, 1.0, 1.5, ..., 49.0, 49.5, 50.0], dtype=float64, shape=(100,))"
    a.trim(0, 4)
    assert repr(a) == f"Array({name!r}, [0.5, 1.0, 1.5, 2.0], dtype=float64, shape=(4,))"
    a.trim(0, 2)
    assert repr(a) == f"Array({name!r}, [0.5, 1.0], dtype=float64, shape=(2,))"
    client.delete(name)
    client.set(name, "text")
    assert "unreachable: WRONGTYPE" in repr(a)
    client.delete(name)


def test_open_binds_attaches_and_refuses(client: Any, name: str, server: Server) -> None:
    with pytest.raises(redis_mmap.NotBound):
        redis_mmap.open(client, name)
    a = redis_mmap.open(client, name, name)
    assert a.dtype == "f8"
    a.append([1, 2])
    assert redis_mmap.open(client, name)[:].tolist() == [1, 2]
    assert redis_mmap.open(client, name, name, dtype="<f8")[:].tolist() == [1, 2]
    with pytest.raises(TypeError):
        redis_mmap.open(client, name, dtype="i4")
    with pytest.raises(redis_mmap.CannotBind, match="bound already"):
        redis_mmap.open(client, name, name, dtype="i4")
    with pytest.raises(redis_mmap.CannotBind, match="/etc/hostname"):
        redis_mmap.open(client, f"{name}x", "/etc/hostname", dtype="u1", mode="r")
    with pytest.raises(redis_mmap.CannotBind):
        redis_mmap.open(client, f"{name}x", f"{name}missing", mode="r")
    assert not Path(server.root, f"{name}missing").exists()
    with pytest.raises(ValueError, match="mode"):
        redis_mmap.open(client, name, name, mode="w")
    for dtype in (">f8", "c16", "U5", "f2", "M8[s]", "S0", "O", "?"):
        with pytest.raises(TypeError):
            redis_mmap.open(client, f"{name}x", f"{name}x", dtype=dtype)
    np.arange(5, dtype="i2").tofile(server.root / f"{name}r")
    r = redis_mmap.open(client, f"{name}r", f"{name}r", "i2", mode="r")
    assert r[:].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(redis_mmap.ReadOnlyArray):
        r.append([1])


def test_npy_files_are_numpys(client: Any, name: str, server: Server) -> None:
    path = server.root / f"{name}.npy"
    np.save(path, np.arange(4, dtype="f4"))
    a = redis_mmap.open(client, name, f"{name}.npy")
    assert a.dtype == "f4"
    a.append(np.array([9.5], "f4"))
    a.sync()
    assert np.load(path).tolist() == [0, 1, 2, 3, 9.5]
    new = redis_mmap.open(client, f"{name}n", f"{name}n.npy", dtype="S3")
    new.append([b"abc", b"d"])
    new.sync()
    assert np.load(server.root / f"{name}n.npy").tolist() == [b"abc", b"d"]
    assert new.memmap()[:].tolist() == [b"abc", b"d"]


def test_a_missing_key_and_one_of_another_type(client: Any, name: str) -> None:
    a = filled(client, name, np.arange(3.0))
    client.delete(name)
    assert len(a) == 0
    with pytest.raises(redis_mmap.NotBound):
        a.append([1])
    with pytest.raises(redis_mmap.NotBound):
        a.path()
    client.set(name, "text")
    with pytest.raises(redis_mmap.WrongType):
        len(a)
    client.delete(name)


def test_numpys_scalars_are_written_exactly_by_the_raw_commands(client: Any, name: str) -> None:
    """redis-py takes repr() of a float, which of numpy 2's is np.float64(1.5)."""
    m = redis_mmap.Commands(client)
    assert m.mmap(name, name, "double", writable=True) == 0
    assert m.vpush(name, np.float64(0.1), np.float32(0.5), np.int8(3), 7, "2.5", True) == 6
    assert m.vset(name, {0: np.float64(1.25), 1: 2}) == 2
    assert m.vset(name, [(2, 9)]) == 1
    assert np.frombuffer(m.vgetraw(name, 0, -1)).tolist() == [1.25, 2, 9, 7, 2.5, 1]
    assert float(m.vget(name, int(np.int64(0))) or 0) == 1.25
    assert m.vget(name, 99) is None
    assert m.vtype(name) == "double"
    assert m.vitemsize(name) == 8
    assert m.vfilepath(name) == name
    assert m.vsync(name) is True
    stat = m.vstat(name)
    assert stat is not None
    assert (stat["type"], stat["count"]) == ("double", 6)
    assert m.vstat("nothing") is None
    assert m.vfind(name, 0, -1, ">", 2, limit=2) == [2, 3]
    assert m.vfind(name, 0, -1, ">", 2, limit=1, offset=1) == [3]
    assert m.vfind(name, 0, -1, ">", 2, offset=2) == [4]
    pairs = m.vfind(name, 0, -1, ">", 2, withvalues=True)
    assert [(index, float(value)) for index, value in pairs] == [(2, 9), (3, 7), (4, 2.5)]
    assert m.vfind(name, 0, -1, ">", 99, withvalues=True) == []
    assert m.vfind_page(name, 0, -1, ">", 2, count=2) == (4, [2, 3])
    assert m.vfind_page(name, 4, -1, ">", 2, count=2) == (0, [4])
    start, pairs = m.vfind_page(name, 0, -1, ">", 2, count=1, withvalues=True)
    assert (start, [(index, float(value)) for index, value in pairs]) == (3, [(2, 9)])
    assert m.vfind_count(name, 0, -1, ">", 2) == 3
    assert m.vfind_count(name, 0, -1, ">", 2, limit=2) == 2
    assert m.vaddraw(name, np.arange(2.0)) == 2
    assert m.vaddraw(name, bytearray(8)) == 1
    assert [float(value) for value in m.vlast(name, 3)] == [0, 1, 0]
    assert m.vsetraw(name, 0, np.array([5.0])) == 1
    assert [float(value) for value in m.vslice(name, 0, 3, 2)] == [5, 9]
    assert [float(value) for value in m.vincrby(name, {0: np.float32(0.5)})] == [5.5]
    assert m.vagg(name, 0, -1, "count") == [9]
    assert m.vagg(name, 0, -1, "mean") == m.vagg(name, 0, -1, "avg", skipnan=True)
    assert len(m.vbuckets(name, 0, -1, 3, "count")) == 3
    assert m.vfill(name, 0, 1, np.float64(3)) == 2
    assert m.vtrim(name, 0, 3) == 5
    assert m.vadvise(name, "WILLNEED", 0) is True
    assert m.vsearch(name, 100, side="right") == 4
    assert m.vsearch(name, 0, 100) == [0, 4]
    assert len(m.vall(name)) == 4
    assert len(m.vmget(name, 0, 1, 99)) == 3
    assert float(m.vpop(name)) == 7
    assert len(m.vpop(name, 2)) == 2
    assert m.vcount(name) == m.vsize(name) == m.vlen(name) == 1
    assert m.vadd(name, 1.5) == 1
    assert m.vclear(name) == 2


def test_raw_commands_in_the_style_of_the_library(server: Server, name: str) -> None:
    class Client(redis_mmap.MmapClient, redis.Redis):
        pass

    with Client(port=server.port, decode_responses=True) as client:
        client.mmap().mmap(name, name)
        assert client.mmap().vpush(name, 1) == 1
        assert client.mmap().vgetraw(name, 0, 0) == np.array([1.0]).tobytes()


def test_every_command_of_the_module_is_there(plain: Any) -> None:
    theirs = {str(command).lower() for command in plain.execute_command("COMMAND LIST", "FILTERBY", "MODULE", "mmap")}
    theirs = {command.removeprefix("b'").rstrip("'") for command in theirs}
    ours = {method for method in dir(redis_mmap.Commands) if not method.startswith("_")}
    # What servers tell one another.
    assert theirs - ours - {"vreplicate"} == set()


def test_warnings_are_not_raised_where_there_are_values(plain: Any, name: str) -> None:
    a = filled(plain, name, np.arange(3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert a.mean() == a.var(ddof=1) == 1.0
