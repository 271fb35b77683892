"""Transcripts that a coding agent wrote to disk, read line by line into events."""
