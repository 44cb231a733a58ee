"""Warnings about the best settings: each with the numbers that it follows from.

A warning appears only if the results hold all its numbers; nothing is measured for it.
"""
