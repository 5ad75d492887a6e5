"""The network below HTTP: dialing, deadlines, whom to trust, and why an address could not be reached."""
