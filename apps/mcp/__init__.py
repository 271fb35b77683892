"""The MCP server: read-only tools with which an agent asks about its own fleet."""
