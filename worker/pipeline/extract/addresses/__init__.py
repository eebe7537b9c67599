"""Addresses: blocks of lines that name a country, a postcode or whom they are for."""
