"""The package itself: what is generated, its documentation, the module that it carries."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

import redis_mmap
import redis_mmap.asyncio

from . import support
from .conftest import valkey

PYTHON = Path(__file__).resolve().parents[1]


def test_the_synchronous_front_is_the_asynchronous_one() -> None:
    subprocess.run([sys.executable, PYTHON / "generate", "--check"], check=True)


@pytest.mark.parametrize(("library", "parser"), [("redis", "hiredis"), ("valkey", "libvalkey")])
def test_replies_are_parsed_by_what_is_installed(plain: Any, library: str, parser: str) -> None:
    """That the others with a client are tests of this parser is only true if the library takes it."""
    pytest.importorskip(library)
    is_there = importlib.util.find_spec(parser) is not None
    assert not (is_there and parser in os.environ.get("MMAP_WITHOUT", ""))
    client = plain if library == "redis" else valkey.Valkey()
    taken = client.connection_pool.make_connection()._parser
    assert (parser in type(taken).__name__.lower()) == is_there


def modules() -> list[Any]:
    names = [found.name for found in pkgutil.walk_packages(redis_mmap.__path__, "redis_mmap.")]
    return [redis_mmap, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


def test_the_examples_of_the_documentation() -> None:
    with support.server() as server, redis.Redis(port=server.port, decode_responses=True) as client:
        names = {"redis_mmap": redis_mmap, "redis": redis, "np": np, "client": client, "port": server.port}
        tried = 0
        for module in modules():
            if "._async" in module.__name__:
                # Its examples are awaited; the synchronous front has the same.
                continue
            for test in doctest.DocTestFinder(exclude_empty=True).find(module):
                # Each example begins with empty files.
                for key in client.scan_iter(_type="mmaparray"):
                    redis_mmap.open(client, key).clear()
                test.globs.update(names)
                result = doctest.DocTestRunner().run(test)
                assert result.failed == 0, test.name
                tried += result.attempted
        assert tried > 70


def test_the_code_of_docs_python(capsys: pytest.CaptureFixture[str]) -> None:
    """Its blocks follow on from each other, as a reader would type them."""
    page = (PYTHON.parent / "docs/python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 7
    names: dict[str, Any] = {}
    with support.server() as server:
        for block in blocks:
            code = block.replace("redis.Redis()", f"redis.Redis(port={server.port})")
            code = code.replace("redis.Redis(retry", f"redis.Redis(port={server.port}, retry")
            exec(compile(code, "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "11.0 [ 9.99 12.5 ] 11.163333333333334 [1 2]"
    assert printed[-1] == "True"


@pytest.mark.parametrize("front", [redis_mmap, redis_mmap.asyncio])
def test_everything_public_has_documentation(front: Any) -> None:
    for name in front.__all__:
        public = getattr(front, name)
        assert inspect.getdoc(public), name
        if inspect.isclass(public):
            for attribute, value in inspect.getmembers(public):
                if not attribute.startswith("_") and callable(value) and "redis_mmap" in str(getattr(value, "__module__", "")):
                    assert inspect.getdoc(value), f"{name}.{attribute}"


def test_both_fronts_have_the_same_methods() -> None:
    def public(kind: Any) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(redis_mmap.Array) - public(redis_mmap.asyncio.Array) == {"size", "shape", "nbytes"}
    assert public(redis_mmap.asyncio.Array) <= public(redis_mmap.Array)
    assert public(redis_mmap.Commands) == public(redis_mmap.asyncio.Commands)
    assert public(redis_mmap.Pipeline) == public(redis_mmap.asyncio.Pipeline)
