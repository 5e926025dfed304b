"""Attacks that once worked, and their neighbours: each test tries one and asserts what stops it."""
