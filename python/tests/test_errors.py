"""What goes wrong arrives as an exception of this package that is one of the client library, too."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
import redis

import redis_mmap
from redis_mmap import exceptions

from . import support
from .conftest import filled, valkey
from .support import Server


def library_of(client: Any) -> Any:
    return redis if isinstance(client, redis.Redis) else valkey


def test_an_exception_is_also_one_of_the_library(client: Any, name: str) -> None:
    library = library_of(client)
    with pytest.raises(library.exceptions.ResponseError) as raised:
        redis_mmap.Commands(client).vpush(name, 1)
    error = raised.value
    assert isinstance(error, redis_mmap.NotBound)
    assert isinstance(error, redis_mmap.MmapError)
    assert type(error).__name__ == "NotBound"
    assert not error.retry
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_the_kinds_of_errors(client: Any, name: str, server: Server) -> None:
    m = redis_mmap.Commands(client)
    filled(client, name, np.arange(3, dtype="u1"))
    with pytest.raises(redis_mmap.OutOfBounds):
        m.vset(name, {3: 1})
    with pytest.raises(IndexError):
        m.vset(name, {3: 1})
    with pytest.raises(redis_mmap.BadValue):
        m.vset(name, {0: "x"})
    with pytest.raises(ValueError, match="256"):
        m.vpush(name, 256)
    with pytest.raises(redis_mmap.BadValue):
        m.vagg(name, 0, -1, "median")
    with pytest.raises(redis_mmap.CannotBind):
        m.mmap(name, "other")
    with pytest.raises(redis_mmap.CannotBind):
        m.mmap(f"{name}x", "nowhere/missing", "double")
    (server.root / f"{name}odd").write_bytes(b"123")
    with pytest.raises(redis_mmap.CannotBind):
        m.mmap(f"{name}x", f"{name}odd")
    client.set(f"{name}text", "x")
    with pytest.raises(redis_mmap.WrongType):
        m.vsize(f"{name}text")
    with pytest.raises(TypeError, match="no value of an array"):
        m.vpush(name, None)


def test_a_file_that_is_cut_under_the_server(client: Any, name: str, server: Server) -> None:
    a = filled(client, name, np.arange(1000.0))
    a.sync()
    os.truncate(server.root / name, 80)

    def is_noticed() -> bool:
        try:
            a.append([1.0])
        except redis_mmap.FileUnavailable:
            return True
        return False

    support.wait_until("the server has noticed", is_noticed)
    with pytest.raises(redis_mmap.FileUnavailable):
        a[0]
    assert len(redis_mmap.open(client, name, name)) == 10


def test_what_the_user_may_not_do(client: Any, name: str) -> None:
    a = filled(client, name, np.arange(3.0))
    client.execute_command("ACL SETUSER", "reader", "on", ">secret", "~*", "+vgetraw", "+vsize", "+vtype", "+vitemsize")
    options = dict(client.connection_pool.connection_kwargs, username="reader", password="secret")
    options = {name: options[name] for name in ("port", "username", "password", "protocol", "decode_responses")}
    with type(client)(**options) as reader:
        b = redis_mmap.open(reader, name)
        assert b[:].tolist() == [0, 1, 2]
        with pytest.raises(redis_mmap.NotPermitted, match="ACL SETUSER") as raised:
            b.append([1])
        assert isinstance(raised.value, library_of(client).exceptions.NoPermissionError)
        assert isinstance(raised.value, PermissionError)
    assert len(a) == 3


def test_a_server_without_the_module_says_how_to_load_it(name: str, tmp_path: Any) -> None:
    port = support.free_ports(1)[0]
    process = subprocess.Popen(
        [shutil.which(support.SERVER) or "", "--port", str(port), "--save", "", "--dir", tmp_path],
        stdout=subprocess.DEVNULL,
        preexec_fn=support._end_with_us,
    )
    try:
        with redis.Redis(port=port) as client:

            def answers() -> bool:
                with contextlib.suppress(redis.ConnectionError):
                    return bool(client.ping())
                return False

            support.wait_until("the server answers", answers)
            with pytest.raises(redis_mmap.ModuleMissing, match="python -m redis_mmap"):
                redis_mmap.open(client, name, name)
    finally:
        process.kill()
        process.wait()


def test_a_full_disk_leaves_what_was_appended(name: str) -> None:
    with support.server("--mmap.max-file-bytes", "1000000") as server, redis.Redis(port=server.port) as client:
        a = redis_mmap.open(client, name, name)
        with pytest.raises(redis_mmap.NoSpace) as raised:
            a.append(np.zeros(200_000), piece=80_000)
        assert raised.value.appended == len(a) == 120_000


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("writes to file 'x' are refused: an earlier sync failed", exceptions.WriteRefused),
        ("the write was carried out but may not survive a power cut: x", exceptions.WriteRefused),
        ("too much of file 'x' was changed while it was being read, 3 times in a row", exceptions.Busy),
        ("cannot allocate space for file 'x': No space left on device (os error 28)", exceptions.NoSpace),
        ("file 'x' does not exist; when the file is back, MMAP the key again", exceptions.FileUnavailable),
        ("No space left on device; once that is mended, the primary sends it again", exceptions.FileUnavailable),
        ("file 'x' was closed during this command, as its key was deleted or bound again", exceptions.FileUnavailable),
        ("the head of file 'x' cannot be removed: its head is being removed already", exceptions.Busy),
        ("the values of file 'x' would be taken for the record that ends a file with slack", exceptions.BadValue),
        ("there is no memory for this command: ask for less at a time", exceptions.Busy),
        ("cannot extend 'x': files of this server may be 4096 bytes long (ulimit -f; ...)", exceptions.NoSpace),
        ("something that no version has said yet", exceptions.MmapError),
    ],
)
def test_errors_that_are_hard_to_bring_about(message: str, kind: type[exceptions.MmapError]) -> None:
    found = exceptions.translate(redis.ResponseError(message))
    assert type(found).__name__ == kind.__name__
    assert isinstance(found, kind)
    assert isinstance(found, redis.ResponseError)
    assert str(found) == message
    assert found.retry == (kind is exceptions.Busy)


def test_whatever_mmap_refuses_it_does_not_bind() -> None:
    found = exceptions.translate(redis.ResponseError("something that no version has said yet"), "MMAP")
    assert isinstance(found, redis_mmap.CannotBind)


def test_what_is_not_ours_is_left_alone() -> None:
    for error in (
        redis.ConnectionError("x"),
        ValueError("x"),
        redis.exceptions.MovedError("1 127.0.0.1:1"),
        redis.ReadOnlyError("x"),
    ):
        assert exceptions.translate(error) is None
