"""Methods that a study selects by name: one class with options for each.

To add a dataset, noise ladder, network, objective or sampler, implement it in one file of the
library and register it here: a class with its `name`, `target` and options, added to the union at
the end of the file. A metric or a feature extractor is one line in a table.
"""
