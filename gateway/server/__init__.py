"""The clients' edge: aiohttp on one side, the journey's own words on the other."""
