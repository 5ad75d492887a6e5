"""How fast the proxy is, beside its peers, in one run."""
