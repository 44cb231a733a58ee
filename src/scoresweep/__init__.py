"""Reproducible ablation studies of noise-conditional score networks.

Two floors. The *library* (`noise`, `objectives`, `distributions`, `networks`, `samplers`,
`metrics`) is pure: tensors in, tensors out. The *pipeline* (`study`, `data`, `training`, `launch`,
`pipeline`, `report`, `cli`) moves files and calls the library.
"""

__version__ = "0.1.0"
