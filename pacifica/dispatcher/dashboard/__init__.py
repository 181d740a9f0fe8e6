"""Pages for people, at ``/`` and below ``/ui``: rendered by the server, on the same service functions as the API."""
