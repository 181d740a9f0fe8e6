"""HTTP only: nothing here knows how a job is stored or run."""
