"""Where answers come from: the model here, or on engine hosts."""
