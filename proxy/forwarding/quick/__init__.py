"""The quick exchange: what was decided about a request is kept, and those that look the same are not decided again.

There is one set of rules, and it is not here: patterns are made from requests and responses that the ordinary path
accepted. What fits none, or becomes unusual on its way, is an ordinary exchange (docs/architecture.md).
"""
