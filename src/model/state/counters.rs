//! What is counted, as identifiers: one enum for each kind of thing, one row for each counter. Names are the columns of
//! `show stat` and the keys of `show info` (management guide 9.1, 9.3). Adding a counter is adding a row.
//!
//! `Reqbin` also answers column `bin`, `Resbin` column `bout`: 3.4 defines them so.

/// An enum whose variants are positions in an array of counters.
pub trait CounterId: Copy + Sized + 'static {
    const ALL: &'static [Self];
    fn index(self) -> usize;
    /// A gauge falls again, so that clearing leaves it alone.
    fn is_gauge(self) -> bool;
    /// Kept by its greatest value instead of by sum.
    fn is_maximum(self) -> bool;
}

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { gauges: $($gauge:ident),* ; maxima: $($max:ident),* ; sums: $($sum:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($gauge,)* $($max,)* $($sum,)* }

        impl $name {
            pub const COUNT: usize = [$(stringify!($gauge),)* $(stringify!($max),)* $(stringify!($sum),)*].len();
        }

        impl CounterId for $name {
            const ALL: &'static [Self] = &[$(Self::$gauge,)* $(Self::$max,)* $(Self::$sum,)*];
            fn index(self) -> usize {
                self as usize
            }
            fn is_gauge(self) -> bool {
                matches!(self, $(Self::$gauge)|*)
            }
            fn is_maximum(self) -> bool {
                matches!(self, $(Self::$max)|*)
            }
        }
    };
}

counters! {
    /// Of a frontend, and of the frontend half of a `listen`.
    FrontendCounter {
        gauges: Scur, H2OpenConnections, H2BackendOpenStreams, H1OpenConnections, H1OpenStreams;
        maxima: Smax, RateMax, ReqRateMax, ConnRateMax;
        sums: Stot, ConnTot, Reqbin, Reqbout, Resbin, Resbout, Dreq, Dresp, Ereq, Dcon, Dses, Wrew, Eint,
        Hrsp1xx, Hrsp2xx, Hrsp3xx, Hrsp4xx, Hrsp5xx, HrspOther, ReqTot, Intercepted,
        CompIn, CompOut, CompByp, CompRsp, CacheLookups, CacheHits,
        SessOther, H1sess, H2sess, H3sess, ReqOther, H1req, H2req, H3req,
        SslSess, SslReusedSess, SslFailedHandshake, SslOcspStaple, SslFailedOcspStaple,
        H2HeadersRcvd, H2DataRcvd, H2SettingsRcvd, H2RstStreamRcvd, H2GoawayRcvd, H2DetectedConnProtocolErrors,
        H2DetectedStrmProtocolErrors, H2RstStreamResp, H2GoawayResp, H2TotalConnections, H2BackendTotalStreams,
        H1TotalConnections, H1TotalStreams, H1BytesIn, H1BytesOut, H1SplicedBytesIn, H1SplicedBytesOut,
    }
}

counters! {
    /// Of one `bind` line.
    ListenerCounter {
        gauges: Scur;
        maxima: Smax;
        sums: Stot, ConnTot, Reqbin, Reqbout, Resbin, Resbout, Dreq, Dresp, Ereq, Dcon, Dses, Wrew, Eint,
        SslSess, SslReusedSess, SslFailedHandshake, SslOcspStaple, SslFailedOcspStaple,
    }
}

counters! {
    /// Of a backend, and of the backend half of a `listen`. `Lastsess` is a moment in milliseconds plus one.
    BackendCounter {
        gauges: Scur, Qcur, H2OpenConnections, H2BackendOpenStreams, H1OpenConnections, H1OpenStreams;
        maxima: Smax, Qmax, RateMax, QtimeMax, CtimeMax, RtimeMax, TtimeMax, Lastsess;
        sums: Stot, Reqbin, Reqbout, Resbin, Resbout, Dreq, Dresp, Econ, Eresp, Wretr, Wredis, Wrew, Eint,
        Hrsp1xx, Hrsp2xx, Hrsp3xx, Hrsp4xx, Hrsp5xx, HrspOther, ReqTot, CliAbrt, SrvAbrt, Lbtot, Connect, Reuse,
        CompIn, CompOut, CompByp, CompRsp, CacheLookups, CacheHits,
        SslSess, SslReusedSess, SslFailedHandshake, SslOcspStaple, SslFailedOcspStaple,
        H2HeadersRcvd, H2DataRcvd, H2SettingsRcvd, H2RstStreamRcvd, H2GoawayRcvd, H2DetectedConnProtocolErrors,
        H2DetectedStrmProtocolErrors, H2RstStreamResp, H2GoawayResp, H2TotalConnections, H2BackendTotalStreams,
        H1TotalConnections, H1TotalStreams, H1BytesIn, H1BytesOut, H1SplicedBytesIn, H1SplicedBytesOut,
    }
}

counters! {
    /// Of a server. `IdleConnCur` are idle connections that only their own session may use, `SafeConnCur` those that any
    /// may; `SrvIcur` is their sum, kept by whoever keeps them.
    ServerCounter {
        gauges: Scur, Qcur, SrvIcur, IdleConnCur, SafeConnCur, UsedConnCur, PrivIdleCur;
        maxima: Smax, Qmax, RateMax, QtimeMax, CtimeMax, RtimeMax, TtimeMax, Lastsess, NeedConnEst;
        sums: Stot, Reqbin, Reqbout, Resbin, Resbout, Dresp, Econ, Eresp, Wretr, Wredis, Wrew, Eint,
        Hrsp1xx, Hrsp2xx, Hrsp3xx, Hrsp4xx, Hrsp5xx, HrspOther, ReqTot, CliAbrt, SrvAbrt, Lbtot, Connect, Reuse, Hanafail,
        SslSess, SslReusedSess, SslFailedHandshake, SslOcspStaple, SslFailedOcspStaple,
    }
}

counters! {
    /// Of the process. `IdlePct` is each worker's own share, averaged by readers. `ApiConns` are connections to the runtime
    /// API, `BufferBytes` the memory of receive buffers that came into use, `BufferBytesUsed` of those that hold data,
    /// `EngineConns` and `EngineOperations` what the engine has in hand: connections, and what the kernel was asked for else.
    ProcessCounter {
        gauges: CurrConns, CurrSslConns, PipesUsed, Tasks, RunQueue, NicedTasks, ApiConns, ActivePeers,
        ConnectedPeers, CurrStreams, IdlePct, BufferBytes, BufferBytesUsed, EngineConns, EngineOperations;
        maxima: MaxConnRate, MaxSessRate, MaxSslRate, SslFrontendMaxKeyRate, SslBackendMaxKeyRate;
        sums: CumConns, CumReq, CumSslConns, CumStreams, SslFrontendReused,
        DroppedLogs, FailedResolutions, TotalBytesOut, TotalSplicedBytesOut, CumRecvLogs, MaxconnReached,
        BlockedTrafficWarnings, PoolFailed, Loops, Wakeups,
        EngineCompletionsDead, EngineBuffersShort, EngineEnterErrors,
    }
}
