"""The way of a request: who calls, where it goes, what it carries, and the two connections it runs over."""
