"""How the fleet fares: one function per question, from what is in memory and a few rows. It changes nothing."""
