"""What a configuration may hold: its sections, the kinds of their values, and the checks that make them."""
