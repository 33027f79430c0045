"""Repairs: from damaged text to a value, and from a value to the types its schema wants."""
