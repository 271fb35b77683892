"""Tests against the embedded broker and database."""
