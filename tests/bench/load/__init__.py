"""The bot under load, faults and mutated requests."""
