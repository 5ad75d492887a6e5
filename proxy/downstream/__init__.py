"""Connections of clients: listening, reading requests off the wire, writing answers back.

What a request means is decided elsewhere.
"""
