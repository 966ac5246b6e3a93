"""Write all of MTFL as one small file for a machine without the archive: pack_mtfl.py FILE."""

import sys
from pathlib import Path

from dclib.data import mtfl, pack
from dclib.errors import DataError

if len(sys.argv) != 2:
    sys.exit("usage: pack_mtfl.py FILE")
try:
    target = Path(sys.argv[1])
    print(f"fingerprint {pack.write(target, mtfl.load(pack.RESOLUTION))}")
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB")
except DataError as error:
    sys.exit(f"error: {error}")
