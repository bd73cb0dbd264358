"""The J-Quants API v2 as tables: what it offers, how often it may be asked, what its rows mean."""
