"""Whether the ledger and the provider agree, and why not."""
