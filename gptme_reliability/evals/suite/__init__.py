"""A suite for ``gptme-eval``, in a directory of its own: ``-E`` puts that on the import path."""
