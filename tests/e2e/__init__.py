"""Tests of what a person installs and sees."""
