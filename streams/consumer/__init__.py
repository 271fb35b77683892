"""The consumer: records in, partition by partition, and one commit a batch."""
