"""Training of one network: the loop, its random numbers, its checkpoints, its curves."""
