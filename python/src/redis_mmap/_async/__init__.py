"""The asynchronous front, from which ``python/generate`` makes the synchronous one in ``_sync``."""
