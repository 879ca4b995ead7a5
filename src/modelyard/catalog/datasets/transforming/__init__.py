"""Transformations: recipes as data make versions of versions."""
