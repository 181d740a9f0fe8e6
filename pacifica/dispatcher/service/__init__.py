"""The verbs: what a caller may ask for, one function each."""
