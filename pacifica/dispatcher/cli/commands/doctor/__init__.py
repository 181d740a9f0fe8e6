"""``doctor``: what it looks at, and the job that it sends all the way."""
