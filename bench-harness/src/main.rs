//! `bench-harness`: load, origin, runner and plots that say where ringway stands against HAProxy and nginx.
//! Here commands meet their modules; `child`, `origin` and `load` are roles that the harness starts itself in.

mod certs;
mod child;
mod cli;
mod compare;
mod config;
mod engines;
mod instructions;
mod load;
mod loaded;
mod machine;
mod origin;
mod peer;
mod procstat;
mod reloads;
mod report;
mod results;
mod run;
mod scenario;
mod stages;
mod stats;
mod table;
mod verify;
mod watched;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use cli::Options;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let role = arguments.first().and_then(|word| word.to_str()).unwrap_or("").to_owned();
    let text =
        |index: usize| arguments.get(index).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let result = match role.as_str() {
        "child" => child::become_program(&arguments[1..]),
        "origin" => origin::serve(Path::new(&text(1))),
        "load" => load::serve(&text(1)),
        _ => {
            child::pay_on_signals();
            let words: Vec<String> =
                arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            let result = Options::parse(&words).and_then(|options| command(&role, &options));
            child::pay_all();
            result
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-harness: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(name: &str, options: &Options) -> Result<(), String> {
    const USUAL: [&str; 4] = ["ringway", "haproxy", "nginx", "direct"];
    match name {
        "run" => run::run(&options.plan(&USUAL)?).map(drop),
        "report" => report::write(&machine::repository()),
        "compare" => compare::compare(options),
        "engines" => engines::measure(options),
        "instructions" => instructions::check(options),
        "stages" => stages::measure(options),
        "reloads" => reloads::measure(options),
        "watched" => watched::measure(options),
        "list" => list(options),
        "" | "help" | "--help" | "-h" => {
            println!("{}", cli::USAGE);
            Ok(())
        }
        _ => Err(format!("unknown command {name}\n\n{}", cli::USAGE)),
    }
}

fn list(options: &Options) -> Result<(), String> {
    let plan = options.plan(&["ringway", "haproxy", "nginx", "direct"])?;
    for scenario in run::scenarios(&plan.repository)? {
        let quick = if scenario.quick { "quick" } else { "full " };
        println!("{quick}  {:<24} {}", scenario.name, scenario.title);
    }
    println!();
    for peer in &plan.peers {
        println!("{:<12} {}", peer.name, peer.absent.as_deref().unwrap_or(&peer.version));
    }
    Ok(())
}
