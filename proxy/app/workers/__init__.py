"""Several processes behind one listening socket: a supervisor that knows everything, and workers that serve."""
