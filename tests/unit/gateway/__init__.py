"""The gateway's parts, without a network and without a broker."""
