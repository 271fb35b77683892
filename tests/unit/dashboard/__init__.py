"""The dashboard's own words, addresses, colours and memory, without a store or a browser."""
