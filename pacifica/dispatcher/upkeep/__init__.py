"""The periodic duties, which one elected process does for all."""
