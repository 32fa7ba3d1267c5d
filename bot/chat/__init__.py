"""What becomes of a message, whichever channel it came by."""
