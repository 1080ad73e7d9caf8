"""What a replica decides by itself while Redis is away, and how it goes and returns."""
