"""Losses: one number a row. One file is one loss."""
