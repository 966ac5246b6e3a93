"""`python -m dclib COMMAND`, which is also installed as `dclib`."""

import sys

try:
    from dclib.cli import main
except KeyboardInterrupt:  # while modules load
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
