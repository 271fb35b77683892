"""The worker without a broker and without a store."""
