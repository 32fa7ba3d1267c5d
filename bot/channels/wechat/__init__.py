"""The WeChat Official Account platform."""
