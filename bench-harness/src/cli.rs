//! Command line: words into a plan. Unknown words are errors; a scenario or peer that does not exist is named.

use std::path::PathBuf;

use crate::machine;
use crate::peer::Peer;
use crate::run::{Cores, Plan, scenarios};
use crate::scenario::Scenario;

pub const USAGE: &str = "\
bench-harness COMMAND [OPTIONS]

  run             measure; the quick profile unless told otherwise
  report          write perf/REPORT.md and perf/plots/*.svg from perf/results.ndjson
  compare BASE    build commit BASE in a temporary worktree and measure it against this checkout
  engines         measure minimal relays on monoio and tokio-uring beside the proxies
  instructions    count user instructions a request and check them against perf/instructions.toml
  stages          CPU time a request by stage, sampled by perf(1): perf/STAGES.md
  reloads         twenty reloads in a row under load, by each way: failures, p99, memory
  watched         p99 and CPU a request while four clients ask show stat of 1,000 servers without a pause
  list            scenarios and peers

options of run, compare and engines (--peers, --seconds, --repetitions and --*-cpu: of reloads and watched too)
  --full                 every scenario, 7 repetitions of 5 s (else: quick ones, 3 of 2 s)
  --scenario NAME[,..]   only these; a name ending in * is a prefix
  --peers NAME[,..]      instead of ringway,haproxy,nginx,direct
  --peer NAME=PATH       one more: any binary that reads haproxy.cfg, or an nginx
  --repetitions N   --seconds N
  --proxy-cpu N[,..]   --load-cpu N[,..]   --origin-cpu N[,..]
  --no-record            do not append to perf/results.ndjson
  --cargo-profile NAME   what compare builds (release)

options of instructions
  --peer NAME[=PATH]     whom to count (ringway)
  --requests N           in the shorter of the two runs (1000)
  --scenario NAME[,..]   instead of those with a budget
  --update               write what was counted as the new budget";

/// What the words after the command said.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    pub full: bool,
    pub scenarios: Vec<String>,
    pub peers: Option<Vec<String>>,
    pub extra_peers: Vec<String>,
    pub repetitions: Option<usize>,
    pub seconds: Option<u64>,
    pub proxy_cpus: Option<Vec<usize>>,
    pub load_cpus: Option<Vec<usize>>,
    pub origin_cpus: Option<Vec<usize>>,
    pub no_record: bool,
    pub cargo_profile: Option<String>,
    pub requests: Option<u64>,
    pub update: bool,
    /// Words without dashes.
    pub words: Vec<String>,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            let mut value = || rest.next().cloned().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--full" => options.full = true,
                "--no-record" => options.no_record = true,
                "--update" => options.update = true,
                "--scenario" => options.scenarios.extend(value()?.split(',').map(str::to_owned)),
                "--peers" => options.peers = Some(value()?.split(',').map(str::to_owned).collect()),
                "--peer" => options.extra_peers.push(value()?),
                "--repetitions" => options.repetitions = Some(number(word, &value()?)?),
                "--seconds" => options.seconds = Some(number(word, &value()?)?),
                "--requests" => options.requests = Some(number(word, &value()?)?),
                "--proxy-cpu" => options.proxy_cpus = Some(numbers(word, &value()?)?),
                "--load-cpu" => options.load_cpus = Some(numbers(word, &value()?)?),
                "--origin-cpu" => options.origin_cpus = Some(numbers(word, &value()?)?),
                "--cargo-profile" => options.cargo_profile = Some(value()?),
                _ if word.starts_with('-') => return Err(format!("unknown option {word}\n\n{USAGE}")),
                _ => options.words.push(word.clone()),
            }
        }
        if options.repetitions == Some(0) || options.seconds == Some(0) || options.requests == Some(0) {
            return Err("repetitions, seconds and requests must not be 0".to_owned());
        }
        Ok(options)
    }

    /// A plan with the usual peers, or those of `usual`.
    pub fn plan(&self, usual: &[&str]) -> Result<Plan, String> {
        let repository = machine::repository();
        let all = scenarios(&repository)?;
        let usual: Vec<String> = usual.iter().map(|name| (*name).to_owned()).collect();
        let mut names = self.peers.clone().unwrap_or(usual);
        // `direct` stays last, where a limit belongs in a table.
        let at = names.iter().position(|name| name == "direct").unwrap_or(names.len());
        names.splice(at..at, self.extra_peers.iter().cloned());
        let usual_cores = Cores::of(machine::cores());
        Ok(Plan {
            peers: names.iter().map(|name| Peer::parse(name, &repository)).collect(),
            scenarios: self.pick(all)?,
            profile: if self.full { "full" } else { "quick" }.to_owned(),
            repetitions: self.repetitions.unwrap_or(if self.full { 7 } else { 3 }),
            seconds: self.seconds.unwrap_or(if self.full { 5 } else { 2 }),
            cores: Cores {
                proxy: self.proxy_cpus.clone().unwrap_or(usual_cores.proxy),
                load: self.load_cpus.clone().unwrap_or(usual_cores.load),
                origin: self.origin_cpus.clone().unwrap_or(usual_cores.origin),
            },
            results: (!self.no_record).then(|| results_path(&repository)),
            repository,
        })
    }

    /// The named scenarios, or those of the profile.
    pub fn pick(&self, all: Vec<Scenario>) -> Result<Vec<Scenario>, String> {
        if self.scenarios.is_empty() {
            return Ok(all.into_iter().filter(|scenario| self.full || scenario.quick).collect());
        }
        let fits =
            |wish: &str, name: &str| wish.strip_suffix('*').map_or(wish == name, |start| name.starts_with(start));
        if let Some(wish) = self.scenarios.iter().find(|wish| !all.iter().any(|each| fits(wish, &each.name))) {
            return Err(format!("no scenario {wish}; `bench-harness list` shows them"));
        }
        let wanted = |scenario: &Scenario| self.scenarios.iter().any(|wish| fits(wish, &scenario.name));
        Ok(all.into_iter().filter(wanted).collect())
    }
}

pub fn results_path(repository: &std::path::Path) -> PathBuf {
    repository.join("perf/results.ndjson")
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option}: {text:?} is no number"))
}

fn numbers(option: &str, text: &str) -> Result<Vec<usize>, String> {
    text.split(',').map(|word| number(option, word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_and_values_are_told_apart() {
        let options = parse("abc123 --full --seconds 4 --peer new=/x --proxy-cpu 2,3").unwrap();
        assert_eq!(options.words, ["abc123"]);
        assert_eq!((options.full, options.seconds), (true, Some(4)));
        assert_eq!(options.proxy_cpus, Some(vec![2, 3]));
        assert_eq!(options.extra_peers, ["new=/x"]);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in ["--fast", "--seconds", "--seconds x", "--seconds 0", "--proxy-cpu a"] {
            assert!(parse(text).is_err(), "accepted {text}");
        }
    }

    #[test]
    fn scenarios_are_picked_by_name_and_prefix() {
        let make = |name: &str| Scenario::parse(name, "title = \"t\"\n[load]\nshape = \"keep-alive\"\n").unwrap();
        let all = || vec![make("keepalive-32"), make("keepalive-64"), make("start")];
        let names = |text: &str| {
            parse(text)
                .unwrap()
                .pick(all())
                .map(|picked| picked.into_iter().map(|each| each.name).collect::<Vec<_>>())
        };
        assert_eq!(names("--scenario keepalive-*").unwrap(), ["keepalive-32", "keepalive-64"]);
        assert_eq!(names("--scenario start").unwrap(), ["start"]);
        assert!(names("--scenario stop").is_err());
        assert!(names("").unwrap().is_empty());
    }
}
