"""Pools of agents at the edge: calls over sockets in, leases and messages out."""
