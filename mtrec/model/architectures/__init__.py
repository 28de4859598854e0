"""Architectures: how tasks share and part. One file is one architecture."""
