"""Atomic columns of dichalcogenide monolayers: simulated, found, and named in their context."""
