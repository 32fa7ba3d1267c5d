"""Task queues: what is done outside of requests."""
