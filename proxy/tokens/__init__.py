"""Login with Amazon: requesting, keeping and renewing tokens. Knows nothing of the traffic that uses them."""
