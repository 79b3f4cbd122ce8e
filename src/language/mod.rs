//! HAProxy's expression language. Pure: takes a context, returns values and verdicts; no socket, no clock.
