"""An app of the project: books that are lent."""
