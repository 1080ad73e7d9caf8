"""The gateway's own keys: how they look, where they are kept, and what becomes of them."""
