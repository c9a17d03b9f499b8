"""`python -m dynamem` is the command line."""

import sys

from dynamem.cli import main


sys.exit(main())
