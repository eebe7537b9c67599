"""The demo: labels in, text out, on real parts, and a page that shows it."""
