"""What may be said: text is looked through for what must not pass. Never decoded, never stored, never quoted."""
