"""What this package is worth: scenarios against the real gptme, recovery on corpora."""
