"""One photo in, N plausible 3D objects out, and an honest statement of what is guessed."""

__version__ = "0.1.0"
