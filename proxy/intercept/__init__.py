"""Interception: Amazon's own https:// addresses through CONNECT, and the authority that certifies them here."""
