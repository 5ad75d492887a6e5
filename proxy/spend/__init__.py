"""Limits on what a client may spend: what a write would spend is read, judged, counted, and refused or recorded."""
