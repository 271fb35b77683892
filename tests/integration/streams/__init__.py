"""Workers against the embedded broker and database, and against Apache Kafka."""
