"""The module for the server that this package carries."""

from __future__ import annotations

from pathlib import Path

#: The file's name in the package.
NAME = "libredis_mmap.so"


def module_path() -> str:
    """The path of the module that came with this package, for ``redis-server --loadmodule``.

    Raises
    ------
    FileNotFoundError
        If this package came without one: there is one for Linux on x86-64 and aarch64, with glibc and with musl.
    """
    path = Path(__file__).with_name(NAME)
    if not path.is_file():
        raise FileNotFoundError(
            f"this installation of redis-mmap has no module for the server ({path} does not exist): it was installed from "
            "source, or for a platform that has none; build the module with 'make build' and load target/release/" + NAME
        )
    return str(path)
