"""Parses requests: bodies, query parameters, wait preferences and the caller's context."""
