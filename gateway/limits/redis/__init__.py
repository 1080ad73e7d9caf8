"""Where limits are kept: in a Redis that all replicas share. Scripts decide; the rest is the way to it."""
