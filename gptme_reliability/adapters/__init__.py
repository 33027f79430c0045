"""Wire payloads ⇄ the values of the core.  No I/O here."""
