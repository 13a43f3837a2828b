"""Losses and detector targets."""
