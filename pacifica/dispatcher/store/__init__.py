"""Every SQL statement of the record; its functions return frozen values."""
