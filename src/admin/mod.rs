//! What tools and people ask: the runtime API, statistics, the stats page, Prometheus.
