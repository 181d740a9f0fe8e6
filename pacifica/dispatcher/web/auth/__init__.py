"""Access control: the guard of every request, same-site checks and the rate limit."""
