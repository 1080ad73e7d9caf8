"""The `gateway` command: what people type, and what they read."""
