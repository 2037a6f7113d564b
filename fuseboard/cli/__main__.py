"""``python -m fuseboard.cli`` is ``fuseboard``."""

from fuseboard.cli import main

main()
