"""How the gradients of the tasks become one, each in a file of its own."""
