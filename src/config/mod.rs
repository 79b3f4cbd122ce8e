//! Text to plan, with diagnostics worth reading. Pure but for reading files.
