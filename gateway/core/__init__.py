"""The words of the house: what things are. No I/O and no third-party imports."""
