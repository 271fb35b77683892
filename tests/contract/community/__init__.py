"""What Mainstem asks of TimescaleDB's Community edition, held against one that runs in a process."""
