"""`python -m scoresweep`."""

from scoresweep.cli import main

main()
