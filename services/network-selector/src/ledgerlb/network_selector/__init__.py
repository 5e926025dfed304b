"""Facts in, intents out: which external network serves which Service."""
