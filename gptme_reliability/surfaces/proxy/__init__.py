"""The proxy: the same checks in front of any client that speaks to an OpenAI-compatible server.

``app.py`` is the page to read first.
"""
