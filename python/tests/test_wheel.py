"""The wheel, installed where nothing else is: Python and a server are all that a user has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
import redis

import redis_mmap

from . import support

PACKAGE = Path(__file__).resolve().parents[1]


def build(directory: Path, **environment: str) -> Path:
    """A wheel of this source tree."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation",
         "--wheel-dir", directory, PACKAGE],
        check=True, env={**os.environ, **environment},
    )  # fmt: skip
    (found,) = directory.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one for this machine, which carries the module."""
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    return build(tmp_path_factory.mktemp("wheel"), REDIS_MMAP_MODULE=support.MODULE, REDIS_MMAP_PLATFORM=platform)


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with the wheel, and what pip installs with it."""
    directory = tmp_path_factory.mktemp("clean")
    venv.create(directory, with_pip=True)
    subprocess.run(
        [directory / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[redis]"],
        check=True, env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    return str(directory / "bin/python")


def run(*command: Any, **options: Any) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Not in this directory, whose tests are a package, too.
    done = subprocess.run(command, cwd="/", env=environment, check=True, capture_output=True, text=True, **options)
    return str(done.stdout)


def test_the_wheel_names_its_platform_and_holds_the_module(wheel: Path) -> None:
    assert re.fullmatch(r"redis_mmap-[\d.]+-py3-none-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("redis_mmap/libredis_mmap.so") == Path(support.MODULE).read_bytes()
        # A server loads no module that it may not execute, and pip keeps what the archive says.
        assert archive.getinfo("redis_mmap/libredis_mmap.so").external_attr >> 16 & 0o777 == 0o755
        names = archive.namelist()
        assert "redis_mmap/py.typed" in names
        assert not [name for name in names if "tests" in name]
        metadata = next(name for name in names if name.endswith("WHEEL"))
        assert b"Root-Is-Purelib: false" in archive.read(metadata)


def test_the_readmes_four_lines_run_with_the_module_of_the_wheel(python: str) -> None:
    module = run(python, "-m", "redis_mmap").strip()
    assert module == run(python, "-c", "import redis_mmap; print(redis_mmap.module_path())").strip()
    (lines,) = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    assert len([line for line in lines.splitlines() if line]) == 4
    with support.server(module=module) as server:
        printed = run(python, "-c", lines.replace("redis.Redis()", f"redis.Redis(port={server.port})"))
        assert printed == "11.0 [ 9.99 12.5 ] 11.163333333333334 [1 2]\n"
        with redis.Redis(port=server.port) as client:
            assert redis_mmap.open(client, "prices").path() == "prices.f64"


def test_a_pure_wheel_says_that_it_has_no_module(tmp_path: Path) -> None:
    pure = build(tmp_path)
    assert pure.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(pure) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "redis_mmap"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "has no module for the server" in done.stderr
    with pytest.raises(FileNotFoundError, match="make build"):
        redis_mmap.module_path()
