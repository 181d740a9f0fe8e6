"""The HTTP servers: both read whole requests in an event loop, so that no thread waits for a client."""
