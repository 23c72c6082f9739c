"""The command line: thin verbs over the Python API. Nothing here imports TensorFlow before a verb needs it."""

from ganzoo.cli.app import app, main

__all__ = ["app", "main"]
