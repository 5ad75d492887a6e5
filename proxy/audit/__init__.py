"""The audit of writes: what became of each, its records, and the stream that keeps them."""
