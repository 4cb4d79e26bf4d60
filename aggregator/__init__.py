"""The central process: takes in what agents send, keeps one exact index, answers questions about it."""
