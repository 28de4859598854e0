"""Suites of checks that every part of a kind passes; public, for the parts of plug-ins too."""
