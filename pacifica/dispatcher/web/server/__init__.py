"""The HTTP server: it reads whole requests in an event loop, so that no thread waits for a client."""
