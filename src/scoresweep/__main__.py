"""`python -m scoresweep`."""

from scoresweep.pipeline.cli import main

main()
