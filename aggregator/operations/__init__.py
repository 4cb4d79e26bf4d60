"""What changes the fleet's own records: one file per noun. Each recorded with who did it and what came of it."""
