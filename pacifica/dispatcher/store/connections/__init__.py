"""Connections to each kind of database: opening them, waiting on them, and classifying their errors."""
