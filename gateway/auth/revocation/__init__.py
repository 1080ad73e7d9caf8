"""What is taken back before its time, and how every replica learns of it."""
