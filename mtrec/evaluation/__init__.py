"""How good the predictions are: exact metrics, a report of them, and a baseline to hold them against."""
