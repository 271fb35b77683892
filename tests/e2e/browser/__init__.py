"""What people see: every page in Chromium, held to accessibility, contrast and time."""
