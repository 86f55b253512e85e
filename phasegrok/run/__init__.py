"""A run: its file, its lock and its state on disk, and the scans that are made of runs."""
