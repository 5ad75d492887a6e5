"""One request on its way to Amazon and back: attempts, relay, retries, and the account of it."""
