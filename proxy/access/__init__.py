"""Who may do what: who may knock, who calls, what a client's limits allow, and the local OAuth answer.

Decisions only; what follows from them is done elsewhere.
"""
