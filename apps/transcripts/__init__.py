"""The history that coding agents keep on this machine, found, read and imported."""
