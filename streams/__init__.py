"""Kafka in; the store and result topics out."""
