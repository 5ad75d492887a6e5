"""Who may do what: admission, the client's identity, its limits, and the local OAuth answer.

Decisions only; what follows from them is done elsewhere.
"""
