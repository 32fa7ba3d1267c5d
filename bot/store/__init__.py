"""What Redis keeps. No other folder knows its keys."""
