"""What every route of the HTTP door shares: the error shape, reading bodies, rendering jobs."""
