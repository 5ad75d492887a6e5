"""How fast the proxy is, compared with its peers, in one run."""
