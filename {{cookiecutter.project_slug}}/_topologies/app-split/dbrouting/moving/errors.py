class MoveError(Exception):
    """The app can't be moved, or not further; the message says why, and what to do."""
