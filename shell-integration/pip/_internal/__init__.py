"""Of pip's inside, only what programs call in its place: `main`."""

from pip import main

__all__ = ["main"]
