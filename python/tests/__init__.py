"""Tests on real servers. MMAP_WITHOUT: packages to do without though they are installed, such as ``hiredis,libvalkey``."""

import os
import sys
from typing import Any

# Before a client library is imported: it looks for its fast parser once.
_modules: dict[str, Any] = sys.modules
_modules.update({name: None for name in os.environ.get("MMAP_WITHOUT", "").split(",") if name})
