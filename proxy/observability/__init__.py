"""Observers of events: log lines and Prometheus metrics, without secrets. They act on nothing."""
