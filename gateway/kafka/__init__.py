"""The way to Kafka: admission, redaction, shares of tenants, the publisher and its producer."""
