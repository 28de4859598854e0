"""A look at a log before a model sees it: rates, overlap, drift, leaks."""
