"""The private listener: health, metrics, status, console and sign-in. Only the composition root imports it."""
