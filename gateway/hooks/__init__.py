"""What coding agents tell through their hooks, as events of ours."""
