"""From what the embeddings hand over to one score a task."""
