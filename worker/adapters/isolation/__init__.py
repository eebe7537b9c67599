"""Reads records that may crash their reader in a child process."""
