"""The one search engine: parse → frozen query → compile with a scope → run. No HTTP; SQL text is made only here."""
