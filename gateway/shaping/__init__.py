"""What is changed: one pure function a rule, and `shape.py`, which applies them."""
