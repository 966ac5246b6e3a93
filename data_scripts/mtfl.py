"""Find or download MTFL, verify it and decode it: mtfl.py [ARCHIVE or FOLDER]."""

import sys
from pathlib import Path

from dclib.data import mtfl
from dclib.errors import DataError

try:
    print(mtfl.prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
except DataError as error:
    sys.exit(f"error: {error}")
