"""Training and fine-tuning: texts, the loop around the native trainer, its checkpoints and its record."""
