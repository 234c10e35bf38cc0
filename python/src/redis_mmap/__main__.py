"""Prints where the module for the server is: ``redis-server --loadmodule "$(python -m redis_mmap)"``."""

import sys

from ._module import module_path

if __name__ == "__main__":
    try:
        print(module_path())
    except FileNotFoundError as error:
        sys.exit(f"redis_mmap: {error}")
