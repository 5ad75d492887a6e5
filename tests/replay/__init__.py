"""A recorded session of the whole program, played again: the same bytes, log lines, metrics and audit records."""
