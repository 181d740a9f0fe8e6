"""How a connection to each kind of database is opened, waited for and judged when it fails."""
