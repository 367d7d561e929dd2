"""Dialects: write it as your framework does, get what your framework gives.

Each module has one framework's names, argument order, defaults, layouts, weight shapes,
initialisers and errors, on NumPy arrays: ``from convref.dialects import torch as nn``.
"""
