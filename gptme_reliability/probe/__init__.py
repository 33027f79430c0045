"""What a server does, measured: small requests with a known right answer, and what they showed."""
