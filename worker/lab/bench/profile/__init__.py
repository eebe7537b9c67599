"""Where the worker's CPU goes: by thread, by stage, and as a flame graph."""
