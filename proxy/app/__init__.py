"""The composition root: the only place that knows every part of the program, and the order they start and stop in."""
