"""Errors meant for the user: one message that says what, where, and what to do."""


class DataError(Exception):
    """A data file is missing, malformed or not what it should be."""


class RunError(Exception):
    """A run cannot start, go on or be read."""
