"""What is said of a configuration: what the model refused, what does not fit together, what is worth a word."""
