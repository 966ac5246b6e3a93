"""Find or download a data set, verify it and decode it: prepare.py NAME [ARCHIVE or FOLDER]."""

import sys

from dclib.__main__ import main

if len(sys.argv) not in (2, 3):
    sys.exit(__doc__)
sys.exit(main(["data", *sys.argv[1:]]))
