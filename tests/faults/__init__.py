"""Real processes under load, killed and paused: nothing lost, nothing counted twice."""
