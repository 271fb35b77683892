"""Event time: tumbling windows, watermarks and lateness."""
