//! The driver trait and its implementations: `uring` (the product), `sim` (virtual network and clock).
