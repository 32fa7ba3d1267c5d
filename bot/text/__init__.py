"""Texts and records: pure functions that know neither Flask nor Redis."""
