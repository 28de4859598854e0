"""Gates: how an output unit weighs the experts that it may see. One file is one kind of gate."""
