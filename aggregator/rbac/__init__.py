"""Who asks and what they may see: identity from a token, and the scope that every query is compiled with."""
