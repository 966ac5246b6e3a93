"""Find WIDER FACE and read all of its photos: wider.py [FOLDER]."""

import sys
from pathlib import Path

from dclib.data import wider
from dclib.errors import DataError

try:
    print(wider.prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
except DataError as error:
    sys.exit(f"error: {error}")
