"""The verbs of the service: one method for each request of a caller."""
