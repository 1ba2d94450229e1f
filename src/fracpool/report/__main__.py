"""`python -m fracpool.report`: the report of a results folder, or several side by side."""

import sys

from fracpool.command_line import listen
from fracpool.report import main

listen()
sys.exit(main())
