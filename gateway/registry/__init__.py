"""Where gateways of one deployment meet: nodes, connections, presence, hints."""
