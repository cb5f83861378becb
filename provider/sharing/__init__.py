"""What the processes of one installation have between them: turns, folders, a name."""
