"""Imagewarden: which images of all our registries are risky, and why."""

__version__ = "0.1.0"
