"""Where it is written down: two lines for each attempt, and how they survive."""
