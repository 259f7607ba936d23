"""The API of events (interface.md, REST)."""
