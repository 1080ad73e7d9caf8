"""How much is left: rates, tokens and slots are held before a call, and settled with what it really spent."""
