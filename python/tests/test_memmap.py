"""The file itself, read while the server writes it."""

from __future__ import annotations

import os
import threading
from typing import Any, Literal

import numpy as np
import pytest
import redis

import redis_mmap

from .conftest import filled
from .support import Server, wait_until


def test_the_file_is_the_array(client: Any, name: str, server: Server) -> None:
    values = np.arange(1000.0)
    a = filled(client, name, values)
    for m in (a.memmap(), a.memmap(server.root)):
        assert len(m) == 1000
        assert m.shape == (1000,)
        assert m[-1] == 999
        assert np.array_equal(m[10:20:2], values[10:20:2])
        assert np.array_equal(np.asarray(m), values)
        assert np.asarray(m, dtype="f4").dtype == "f4"
        assert np.array_equal(list(m), values)
        assert repr(m).endswith("dtype=float64, shape=(1000,))")
        with pytest.raises(ValueError, match="read-only"):
            m.array()[0] = 1
        a.append([5])
        assert m[-1] == 5
        a.pop()
        assert len(m) == 1000
        m.close()
        with pytest.raises(ValueError, match="closed"):
            m[0]


def test_an_array_that_is_longer_than_a_page_and_exact(plain: Any, name: str) -> None:
    """Its length is a multiple of 4096, and it has no record."""
    a = filled(plain, name, np.arange(1024.0))
    a.sync()
    with a.memmap() as m:
        assert os.path.getsize(m.path) == 8192
        assert len(m) == 1024
        a.append(np.arange(1024.0))
        a.sync()
        assert len(m) == 2048


@pytest.mark.parametrize("suffix", ["", ".npy"])
def test_it_follows_the_file_while_another_client_appends(plain: Any, name: str, server: Server, suffix: str) -> None:
    a = redis_mmap.open(plain, name, f"{name}{suffix}", dtype="i8")
    total = 300_000
    slack_seen = 0

    def append() -> None:
        with redis.Redis(port=server.port) as client:
            b = redis_mmap.open(client, name)
            for start in range(0, total, 1000):
                b.append(np.arange(start, start + 1000))

    writer = threading.Thread(target=append)
    with a.memmap() as m:
        writer.start()
        seen = 0
        while seen < total:
            values = m.array()
            assert len(values) >= seen
            slack_seen += os.path.getsize(m.path) > 256 + len(values) * 8
            assert np.array_equal(values[seen:], np.arange(seen, len(values)))
            seen = len(values)
        writer.join()
        assert slack_seen > 0
        a.sync()
        assert len(m) == total
        assert [len(part) for part in m.follow(total - 5, timeout=0)] == [5]


def test_follow_yields_each_value_once(plain: Any, name: str, server: Server) -> None:
    a = filled(plain, name, np.arange(10, dtype="i8"))

    def append() -> None:
        with redis.Redis(port=server.port) as client:
            b = redis_mmap.open(client, name)
            for value in range(10, 500):
                b.append(value)

    with a.memmap() as m:
        writer = threading.Thread(target=append)
        writer.start()
        got: list[int] = []
        for part in m.follow(interval=0.001):
            got += part.tolist()
            if len(got) >= 500:
                break
        writer.join()
    assert got == list(range(500))


def test_another_file_under_the_path_is_opened(plain: Any, name: str) -> None:
    a = filled(plain, name, np.arange(10_000.0))
    a.sync()
    with a.memmap() as m:
        old = m.array()
        a.trim(-100)
        assert np.array_equal(m.array(), np.arange(9_900.0, 10_000))
        assert np.array_equal(old, np.arange(10_000.0))
        assert np.array_equal(m.read(50), np.arange(9_950.0, 10_000))


def test_read_is_safe_from_values_that_are_removed(plain: Any, name: str) -> None:
    a = filled(plain, name, np.arange(100_000.0))
    a.sync()
    with a.memmap() as m:
        assert np.array_equal(m.read(5, 10), np.arange(5.0, 10))
        assert len(m.read(10, 5)) == 0
        a.clear()
        assert len(m.read()) == 0
        # The length may be one of a moment ago.
        m._size, m._values = 800_000, np.empty(100_000)
        wait_until("the file is empty", lambda: os.path.getsize(m.path) == 0)
        assert len(m.read(0, 10)) == 0


def test_a_file_of_another_type_is_refused(plain: Any, name: str, server: Server) -> None:
    filled(plain, name, np.arange(10, dtype="i4"))
    np.save(server.root / f"{name}.npy", np.arange(3.0))
    with pytest.raises(TypeError, match="header"):
        redis_mmap.Memmap(server.root / f"{name}.npy", "i8")
    with pytest.raises(FileNotFoundError):
        redis_mmap.Memmap(server.root / "missing", "i8")
    (server.root / f"{name}x.npy").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="begin"):
        redis_mmap.Memmap(server.root / f"{name}x.npy", "i8")


def test_a_large_array_costs_no_memory_until_it_is_touched(plain: Any, name: str, server: Server) -> None:
    path = server.root / name
    with open(path, "wb") as file:
        file.truncate(8 << 30)
    a = redis_mmap.open(plain, name, name, "f8", mode="r")
    with a.memmap() as m:
        before = _anonymous()
        assert len(m) == 1 << 30
        assert m[1 << 29] == 0
        assert _anonymous() - before < 16 << 20
    plain.delete(name)
    path.unlink()


def test_a_long_append_from_a_memmap_takes_no_memory(client: Any, name: str, server: Server) -> None:
    path = server.directory / f"{name}source"
    # One value beyond the start of a page, and more bytes than memory may grow by.
    size = 256 << 20
    with open(path, "wb") as file:
        file.truncate(size + 4096 + 8)
    source = np.memmap(path, "f8", "r", offset=8)
    a = redis_mmap.open(client, name, name)
    a.append(source[: 4 << 17])
    before, most = _resident(), 0

    def progress(_: int) -> None:
        nonlocal most
        most = max(most, _resident())

    assert a.append(source, progress=progress) == len(source)
    assert most - before < 48 << 20
    assert not source[-1000:].any()
    a.clear()
    path.unlink()


def test_an_append_leaves_a_memmap_as_it_was(plain: Any, name: str, server: Server) -> None:
    """Also what was changed of it and is not in the file yet, or never will be."""
    path = server.directory / f"{name}source"
    np.arange(600_000.0).tofile(path)
    modes: tuple[Literal["r", "r+", "c"], ...] = ("r", "r+", "c")
    for mode in modes:
        source = np.memmap(path, "f8", mode)
        if mode != "r":
            source[::100] = -1
        wanted = np.array(source)
        for part in (source, source[3:-5], source[::-1], source[::2], source.reshape(-1, 10)[7]):
            a = filled(plain, name, part)
            assert np.array_equal(a[:], part)
            assert np.array_equal(source, wanted)
    path.unlink()


def _anonymous() -> int:
    return _status("RssAnon")


def _resident() -> int:
    return _status("VmRSS")


def _status(name: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))
