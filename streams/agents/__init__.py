"""One Faust agent a file, named for what it makes."""
