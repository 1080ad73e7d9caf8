"""The operators' listener: health, metrics and usage. Never reachable by clients."""
