"""The operators' listener: health, metrics, the operators' API and the console. Never reachable by clients."""
