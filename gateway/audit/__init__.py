"""What was done, by whom: on record, in order, for good."""
