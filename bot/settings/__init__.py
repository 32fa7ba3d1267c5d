"""The settings: variables of the environment, PLM_*."""
