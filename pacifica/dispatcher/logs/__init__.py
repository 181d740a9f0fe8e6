"""Log lines: their context, their plain and JSON forms, and the handlers that write them."""
