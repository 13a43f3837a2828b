"""Other software that `bench peers` compares this package with."""
