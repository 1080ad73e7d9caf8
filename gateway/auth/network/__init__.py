"""What the connection itself says: its address, its certificate, the proxy that it came by."""
