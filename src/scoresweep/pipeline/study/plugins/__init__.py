"""Methods that the user declares with the decorators of `scoresweep.plugins`.

A plugin is code. It is loaded only if the study names it, or if the study uses a method that an
installed package offers as an entry point.
"""
