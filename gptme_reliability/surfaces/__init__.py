"""The only code that does I/O: the HTTP client, the proxy, the gptme plugin."""
