"""HTTP/1.1 conformance at the level of raw bytes: cases as data, one harness, any reverse proxy as the target.

Nothing here imports the product: what is judged is what goes over the wire.
"""
