"""Marks and signatures of outputs, and their verification."""
