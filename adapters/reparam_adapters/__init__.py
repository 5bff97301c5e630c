"""Checkpoint formats: each module here provides the functions of `reparam.checkpoint.Format`."""
