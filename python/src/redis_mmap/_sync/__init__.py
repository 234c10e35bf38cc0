# Made by python/generate from _async/__init__.py: edit that file.
"""The synchronous front."""
