"""Health, metrics, tracing and the log lines of jobs."""
