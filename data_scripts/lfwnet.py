"""Find or download LFWNet and read all of its photos: lfwnet.py [ARCHIVE or FOLDER]."""

import sys
from pathlib import Path

from dclib.data import lfwnet
from dclib.errors import DataError

try:
    print(lfwnet.prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
except DataError as error:
    sys.exit(f"error: {error}")
