"""Where limits are kept: in the memory of one process."""
