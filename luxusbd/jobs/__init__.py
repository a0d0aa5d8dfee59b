"""What the daemon can be asked to do: one module an operation, the queue and its states."""
