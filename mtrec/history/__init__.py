"""Histories and counters of a log as each row may see them: computed by key on partitions, and continued from a saved state."""
