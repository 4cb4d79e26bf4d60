"""What agents say becomes rows: sessions, batches, comparisons, directives. One function per message of schema.wire."""
