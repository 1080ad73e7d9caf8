"""What tests stand on: a whole gateway before a simulator, real Redis, values to begin with."""
