"""Errors meant for the user: one message that says what, where, and what to do."""

import lzma
import struct
import zipfile
import zlib

# What reading a damaged file can raise, whatever its format.
DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RecursionError),
    *(TypeError, ValueError, lzma.LZMAError, struct.error, zipfile.BadZipFile, zlib.error),
)


class DataError(Exception):
    """A data file is missing, malformed or not what it should be."""


class RunError(Exception):
    """A run cannot start, go on or be read."""
