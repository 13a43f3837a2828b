"""What an engine is: contract, card, bundle, and one session per runtime."""
