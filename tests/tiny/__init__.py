"""A tiny model that calls tools: its task, its training, and how well it does."""
