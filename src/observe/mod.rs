//! Logs and health: anybody may record, only `cli::run` serves.
