"""Building blocks that architectures and encoders share; none of them is named in a configuration."""
