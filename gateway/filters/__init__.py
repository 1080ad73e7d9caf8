"""What may be said: texts are looked through for what must not pass; never decoded, stored or quoted."""
