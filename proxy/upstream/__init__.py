"""Connections to Amazon, one answer at a time on each, and pools of them.

The only code that talks to the Ads API for clients.
"""
