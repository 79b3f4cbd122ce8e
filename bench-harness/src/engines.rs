//! `engines`: what a minimal relay costs on other io_uring runtimes, beside the proxies, on TCP and on plain
//! keep-alive HTTP. It keeps the choice of our own runtime measurable. The relays are built with `--features engines`.

use std::path::PathBuf;
use std::process::Command;

use crate::cli::Options;
use crate::machine;
use crate::run;

const SCENARIOS: [&str; 3] = ["tcp-pingpong", "tcp-bulk", "keepalive-64"];

pub fn measure(options: &Options) -> Result<(), String> {
    let repository = machine::repository();
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "-p", "bench-harness", "--features", "engines"]);
    // Only the relays: the harness that runs this must not be overwritten under itself.
    cargo.args(["--bin", "relay-monoio", "--bin", "relay-tokio-uring"]).current_dir(&repository);
    if !cargo.status().map_err(|error| format!("cargo: {error}"))?.success() {
        return Err("the relays do not build".to_owned());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(repository.join("target"), PathBuf::from);
    let relay = |name: &str| format!("{name}={}", target.join("release").join(format!("relay-{name}")).display());
    let (monoio, tokio) = (relay("monoio"), relay("tokio-uring"));
    let mut plan = options.plan(&["ringway", "haproxy", "nginx", &monoio, &tokio, "direct"])?;
    if options.scenarios.is_empty() {
        let all = run::scenarios(&plan.repository)?;
        plan.scenarios = all.into_iter().filter(|scenario| SCENARIOS.contains(&scenario.name.as_str())).collect();
    }
    plan.profile = format!("engines-{}", plan.profile);
    run::run(&plan).map(drop)
}
