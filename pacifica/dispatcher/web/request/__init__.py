"""What a request asks for: its body, query, wait and caller."""
