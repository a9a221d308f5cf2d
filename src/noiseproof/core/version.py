"""The version of the package: what rows, cards and reports say."""

__version__ = "0.2.0"
