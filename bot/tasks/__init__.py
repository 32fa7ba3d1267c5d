"""Work out of band."""
