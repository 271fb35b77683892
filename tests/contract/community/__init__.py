"""What Mainstem asks of TimescaleDB's Community edition, and the answers of one in a process."""
