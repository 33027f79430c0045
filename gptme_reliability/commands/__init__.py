"""Commands of the command line; each is imported when it runs."""
