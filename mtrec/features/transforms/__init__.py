"""The transforms, one a file; the file's name is the `kind` in a configuration."""
