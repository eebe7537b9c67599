"""Fields that a deployment declares in a file of its own."""
