"""The experiments of the chapters, a folder each: ``tasks`` with their limits, ``record`` and what it recorded.

``attention.experiments.se.tasks`` holds the tasks of the chapter on Squeeze-and-Excitation. What two chapters need
stands in :mod:`attention.lab.tasks`. Here the workbench and the mechanisms meet; neither knows this package.
"""
