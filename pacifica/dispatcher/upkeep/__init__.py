"""The periodic duties of the elected process."""
