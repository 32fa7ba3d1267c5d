"""Reading and writing text with a loaded model."""
