"""Encoders: what an architecture reads of a batch of features. One file is one encoder."""
