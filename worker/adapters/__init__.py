"""The outside world: each folder alone imports its SDK and translates its errors at one door."""
