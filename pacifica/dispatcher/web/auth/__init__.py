"""Who may ask: the guard of every request, its scopes and limits."""
