"""The plugin for gptme: the only code here that imports gptme."""
