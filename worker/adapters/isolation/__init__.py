"""Reading records that may end their reader, in a child process."""
