"""Find CelebA and read all of its photos: celeba.py [FOLDER]."""

import sys
from pathlib import Path

from dclib.data import celeba
from dclib.errors import DataError

try:
    print(celeba.prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
except DataError as error:
    sys.exit(f"error: {error}")
