"""What wraps every request: the access log, metrics and spans."""
