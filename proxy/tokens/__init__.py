"""Login with Amazon: obtaining, keeping and renewing tokens. Knows nothing of the traffic that uses them."""
