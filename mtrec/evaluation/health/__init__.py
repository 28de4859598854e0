"""What goes on inside a model: experts, gates and the gradients of tasks on judged rows, and what of it is wrong."""
