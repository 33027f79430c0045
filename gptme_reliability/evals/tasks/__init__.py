"""Whole tasks against a real server: what was done in the end, and what was done wrongly."""
