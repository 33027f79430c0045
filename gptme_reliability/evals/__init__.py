"""Scenarios of misbehaving models, and runs of the real gptme against them."""
