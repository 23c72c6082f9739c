"""What lies in a run folder: its lock, log, checkpoints, health, changes, and the copy in another store."""
