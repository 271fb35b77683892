"""Laws run on the same examples each time, and never fail for a slow machine."""

from hypothesis import settings

settings.register_profile("laws", deadline=None, derandomize=True)
settings.load_profile("laws")
