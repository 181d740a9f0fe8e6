"""From the record to a worker: the relay, the publishers and the database transport."""
