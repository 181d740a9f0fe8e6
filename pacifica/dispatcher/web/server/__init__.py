"""What stands between the network and CherryPy: whole requests in one strict grammar, under either server."""
