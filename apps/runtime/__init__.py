"""What our processes share: settings, logging, tracing, the watchdog and the price table."""
