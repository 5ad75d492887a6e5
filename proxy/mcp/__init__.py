"""The MCP endpoint: which tools a client may call, which sessions there are, and what it lists."""
