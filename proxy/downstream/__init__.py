"""Connections of tools: listening, reading requests off the wire, writing answers back.

What a request means is decided elsewhere.
"""
