"""WSGI middleware around every request: the access log, metrics and spans."""
