"""Log records: their context, their form and what is masked in them."""
