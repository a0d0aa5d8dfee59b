"""`python -m luxusb_cli`, and the console script."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit code."""
    from luxusb_cli import app

    return app.main()


if __name__ == "__main__":
    sys.exit(main())
