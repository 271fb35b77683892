"""Connections to the store, and what their errors mean to the rest of Mainstem."""
