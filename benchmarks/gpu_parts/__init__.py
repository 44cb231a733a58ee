"""The parts of `on_gpu.py`, one file each; `on_gpu.py` runs each in its own process."""
