"""Where the scripts of pip find its `main`."""

from pip import main

__all__ = ["main"]
