"""Fields without a check digit: dates, weights, telephone and VAT numbers, known by what stands around them."""
