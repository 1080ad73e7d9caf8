"""The operators' listener: health, metrics, the operators' API and the console. Not for clients."""
