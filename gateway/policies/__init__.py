"""What they may do: the policy files, read, checked, resolved for each team and key, and reloaded live."""
