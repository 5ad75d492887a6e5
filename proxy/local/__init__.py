"""Requests that end at the proxy: what they have in common, and the local token endpoint."""
