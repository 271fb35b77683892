"""The Centrifuge client protocol without a socket: frames in, effects out."""
