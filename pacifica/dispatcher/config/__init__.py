"""The configuration: INI text, environment and command line become checked settings."""
