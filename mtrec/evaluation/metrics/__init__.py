"""Exact metrics on arrays: ties, weights and undefined cases as the definition has them, in one `Metric` each."""
