//! Ids, limits that follow from others, and what the command line says over the files.

use crate::config::diagnostic::Severity;
use crate::config::section::Loading;
use crate::model::plan::Plan;
use crate::model::resolvers::Families;
use crate::model::tls::ServerVerify;

/// Ids count from 2 (1 is the runtime API's own proxy) and leave out those that were written; so do servers' from 1 and
/// listeners'.
pub(super) fn assign_ids(cx: &mut Loading<'_>) {
    let written: Vec<u32> = cx.proxies.iter().filter(|p| p.proxy.id_forced).map(|p| p.proxy.id).collect();
    let mut next = 2;
    for draft in &mut cx.proxies {
        if !draft.proxy.id_forced {
            while written.contains(&next) {
                next += 1;
            }
            draft.proxy.id = next;
            next += 1;
        }
        let written: Vec<u32> = draft.servers.iter().filter(|s| s.id_written).map(|s| s.server.id).collect();
        let mut next = 1;
        for server in draft.servers.iter_mut().filter(|s| !s.id_written) {
            while written.contains(&next) {
                next += 1;
            }
            server.server.id = next;
            next += 1;
        }
        let written: Vec<u32> = draft.proxy.frontend.binds.iter().filter_map(|b| b.id).collect();
        let mut next = 1;
        for bind in &mut draft.proxy.frontend.binds {
            if bind.id.is_none() {
                while written.contains(&next) {
                    next += 1;
                }
                bind.id = Some(next);
                next += 1;
            }
        }
    }
}

/// What the command line says goes before what the files say (management guide 3).
pub(super) fn command_line(cx: &mut Loading<'_>) {
    let options = cx.options;
    cx.global.maxconn = options.maxconn.or(cx.global.maxconn);
    cx.global.insecure_fork_wanted |= options.insecure_fork;
    if options.no_server_verify {
        cx.global.tls.server_verify = ServerVerify::None;
    }
    if options.ipv4_only {
        cx.global.dns_accept_family = Some(Families { ipv4: true, ipv6: false });
    }
    for draft in cx.proxies.iter_mut().filter(|d| d.proxy.has_frontend) {
        let maxconn = &mut draft.proxy.frontend.maxconn;
        // 0 is the process's limit, whatever the command line says.
        *maxconn = maxconn.or(options.proxy_maxconn).filter(|n| *n > 0);
    }
}

pub(super) fn global(cx: &mut Loading<'_>) {
    if cx.global.expose_experimental_directives && !cx.experimental_used {
        let text = "Option 'expose-experimental-directives' is set in the global section but is no longer used. It is strongly \
                    recommended to remove it in order to avoid using an experimental directive by accident in the future.";
        cx.diagnostics.say(Severity::Warning, None, text);
    }
    let threads = if cx.global.nbthread == 0 { cx.options.cpus.max(1) } else { cx.global.nbthread };
    let mut cpus: Vec<usize> = cx.global.cpu_map.iter().take(threads).flatten().copied().collect();
    cpus.sort_unstable();
    cpus.dedup();
    if !cpus.is_empty() && cx.global.cpu_map.len() >= threads && cpus.len() < threads {
        let text = format!(
            "This configuration binds {threads} threads to a total of {} CPUs via cpu-map directives. This means that some \
             threads will compete for the same CPU, which will cause severe performance degradation. Please fix either the \
             'cpu-map' directives or set the global 'nbthread' value accordingly.",
            cpus.len()
        );
        cx.diagnostics.say(Severity::Warning, None, text);
    }
}

/// Gives each backend without `fullconn` a tenth of the sum of the connections that the frontends which name it may have;
/// `maxconn` is the process's limit, known once the descriptors are counted. HAProxy's default, and the `slim` it shows.
pub fn limit_backends(plan: &mut Plan, maxconn: u32) {
    use crate::language::rules::switching::Target;
    let frontends: Vec<_> = plan.proxies.iter().filter(|p| p.has_frontend && !p.disabled).collect();
    let sums: Vec<u64> = plan
        .proxies
        .iter()
        .enumerate()
        .map(|(index, backend)| {
            let names = |front: &crate::model::proxy::Proxy| {
                front.frontend.default_backend == Some(index)
                    || front.rules.use_backend.rules.iter().any(
                        |r| matches!(&r.target, Target::Name(name) if **name == *backend.name && backend.has_backend),
                    )
            };
            let each = frontends.iter().filter(|f| names(f));
            each.map(|f| u64::from(f.frontend.maxconn.unwrap_or(maxconn))).sum()
        })
        .collect();
    for (proxy, sum) in plan.proxies.iter_mut().zip(sums) {
        if proxy.has_backend && proxy.backend.fullconn.is_none() {
            proxy.backend.fullconn = Some(u32::try_from(sum.div_ceil(10)).unwrap_or(u32::MAX).max(1));
        }
    }
}
