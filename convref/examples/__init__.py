"""Examples that run: ``python -m convref.examples.digits``."""
