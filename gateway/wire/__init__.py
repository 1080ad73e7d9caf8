"""Bytes to words and back. Nothing in here waits: what parses does not read, what reads does not parse."""
