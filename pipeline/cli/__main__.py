"""``python -m pipeline.cli`` is the g5 command."""

import sys

from pipeline.cli import main

sys.exit(main())
