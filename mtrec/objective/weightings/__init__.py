"""Weightings: one number a task. One file is one weighting."""
