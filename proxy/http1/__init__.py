"""HTTP/1.1's own rules (RFC 9110, RFC 9112): heads, fields, framing. Bytes in, values out; no socket.

Nothing of Amazon's is known here.
"""
