"""Poolings, one a file: how the embeddings of a sequence become one embedding."""
