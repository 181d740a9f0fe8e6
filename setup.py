"""A shim for tools that still ask for it; the metadata lives in ``pyproject.toml``."""

from setuptools import setup

setup()
