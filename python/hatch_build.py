"""Builds a wheel for one platform where the module for the server is given, and a pure one elsewhere.

REDIS_MMAP_MODULE: the path of libredis_mmap.so. REDIS_MMAP_PLATFORM: the tag of its platform, such as manylinux_2_17_x86_64.
"""

import os

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Hook(BuildHookInterface):
    """Puts the module into the package."""

    def initialize(self, version, build_data):
        """Called before the wheel is written."""
        module, platform = os.environ.get("REDIS_MMAP_MODULE"), os.environ.get("REDIS_MMAP_PLATFORM")
        if bool(module) != bool(platform):
            raise ValueError("REDIS_MMAP_MODULE and REDIS_MMAP_PLATFORM are given together")
        if module:
            if not os.access(module, os.X_OK):
                raise ValueError(f"{module} is not executable, and a server would not load it: chmod 755 {module}")
            build_data["force_include"][os.path.abspath(module)] = "redis_mmap/libredis_mmap.so"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
