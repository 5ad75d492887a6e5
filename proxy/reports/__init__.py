"""Reports of Amazon's: orders that clients share, and named reports that the proxy orders, keeps and serves."""
