"""Comparisons: what changed from one version to another."""
