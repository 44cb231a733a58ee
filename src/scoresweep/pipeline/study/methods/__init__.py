"""Everything that a study chooses by name: one class a choice, with its options.

To add a dataset, a ladder, a network, an objective or a sampler, write it in one file of the
library and register it in the file of its kind here: a class with its `name`, its `target` and its
options, added to the union at the end. A metric or a feature extractor is one line of a table.
"""
