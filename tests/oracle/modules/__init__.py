"""Nets with the key names and the forward of implementations that no package here has."""
