"""All that talks to Postgres, one file per group of tables; nothing else imports asyncpg. No HTTP, no policy."""
