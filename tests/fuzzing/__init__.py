"""Damaged and hostile projects, made from good ones by a fixed seed, and what became of reading them."""
