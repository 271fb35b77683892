"""One suite for every publisher: the one in memory is held to the words of the one on Kafka."""
