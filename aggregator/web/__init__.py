"""The HTTP edge: parse, call one service, render. No SQL, no policy."""
