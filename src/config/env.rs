//! The environment that configuration text sees: a copy of the process's, which `setenv` and its like change while
//! the files are read (manual 2.3 and 3.1), and the variables that HAProxy itself defines. The process's own
//! environment is never touched; who starts programs passes this one on.

use super::lexer::text_of;

/// Names and values in the order in which `show env` lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Vec<(String, String)>,
}

/// The log formats that HAProxy publishes as variables, so that a configuration can extend them (manual 8.2).
pub const LOG_FORMATS: [(&str, &str); 7] = [
    ("HAPROXY_HTTP_LOG_FMT", HTTP_LOG),
    ("HAPROXY_HTTP_CLF_LOG_FMT", HTTP_CLF_LOG),
    ("HAPROXY_HTTPS_LOG_FMT", HTTPS_LOG),
    ("HAPROXY_TCP_LOG_FMT", TCP_LOG),
    ("HAPROXY_TCP_CLF_LOG_FMT", TCP_CLF_LOG),
    ("HAPROXY_KEYLOG_FC_LOG_FMT", KEYLOG_FC_LOG),
    ("HAPROXY_KEYLOG_BC_LOG_FMT", KEYLOG_BC_LOG),
];

const HTTP_LOG: &str =
    "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
const HTTP_CLF_LOG: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc \
                            %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";
const HTTPS_LOG: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq \
                         %hr %hs %{+Q}r \
                         %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] \
                         %[ssl_fc_sni]/%sslv/%sslc";
const TCP_LOG: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";
const TCP_CLF_LOG: &str = "%{+Q}o %{-Q}ci - - [%T] \"TCP \" 000 %B \"\" \"\" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U \
                           %ts-- %ac %fc %bc %sc %rc %sq %bq \"\" \"\" ";
const KEYLOG_FC_LOG: &str = "\
CLIENT_RANDOM %[ssl_fc_client_random,hex] %[ssl_fc_session_key,hex]
CLIENT_EARLY_TRAFFIC_SECRET %[ssl_fc_client_random,hex] %[ssl_fc_client_early_traffic_secret]
CLIENT_HANDSHAKE_TRAFFIC_SECRET %[ssl_fc_client_random,hex] %[ssl_fc_client_handshake_traffic_secret]
SERVER_HANDSHAKE_TRAFFIC_SECRET %[ssl_fc_client_random,hex] %[ssl_fc_server_handshake_traffic_secret]
CLIENT_TRAFFIC_SECRET_0 %[ssl_fc_client_random,hex] %[ssl_fc_client_traffic_secret_0]
SERVER_TRAFFIC_SECRET_0 %[ssl_fc_client_random,hex] %[ssl_fc_server_traffic_secret_0]
EXPORTER_SECRET %[ssl_fc_client_random,hex] %[ssl_fc_exporter_secret]
EARLY_EXPORTER_SECRET %[ssl_fc_client_random,hex] %[ssl_fc_early_exporter_secret]";
const KEYLOG_BC_LOG: &str = "\
CLIENT_RANDOM %[ssl_bc_client_random,hex]  %[ssl_bc_session_key,hex]
CLIENT_EARLY_TRAFFIC_SECRET %[ssl_bc_client_random,hex] %[ssl_bc_client_early_traffic_secret]
CLIENT_HANDSHAKE_TRAFFIC_SECRET %[ssl_bc_client_random,hex] %[ssl_bc_client_handshake_traffic_secret]
SERVER_HANDSHAKE_TRAFFIC_SECRET %[ssl_bc_client_random,hex] %[ssl_bc_server_handshake_traffic_secret]
CLIENT_TRAFFIC_SECRET_0 %[ssl_bc_client_random,hex] %[ssl_bc_client_traffic_secret_0]
SERVER_TRAFFIC_SECRET_0 %[ssl_bc_client_random,hex] %[ssl_bc_server_traffic_secret_0]
EXPORTER_SECRET %[ssl_bc_client_random,hex] %[ssl_bc_exporter_secret]
EARLY_EXPORTER_SECRET %[ssl_bc_client_random,hex] %[ssl_bc_early_exporter_secret]";

/// What HAProxy's own variables say, beside the log formats. `None`: not defined in this process.
#[derive(Clone, Debug, Default)]
pub struct Own<'a> {
    pub local_peer: Option<&'a str>,
    /// The files in reading order; joined by `;`.
    pub config_files: &'a [String],
    /// A master or its worker.
    pub master_worker: bool,
    /// Addresses of the runtime API's sockets, joined by `;`.
    pub cli: Option<&'a str>,
    pub master_cli: Option<&'a str>,
    /// The version the master was started with; ours when `None`.
    pub startup_version: Option<&'a str>,
}

impl Environment {
    /// The variable by which a master remembers itself over its own re-execution: nobody else's business.
    pub const MASTER: &str = "RINGWAY_MASTER";

    /// A copy of the environment the process was started with.
    pub fn of_process() -> Self {
        use std::os::unix::ffi::OsStrExt;
        let text = |s: &std::ffi::OsStr| text_of(s.as_bytes());
        let variables = std::env::vars_os().map(|(n, v)| (text(&n), text(&v)));
        Environment { variables: variables.filter(|(n, _)| n != Self::MASTER).collect() }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// `setenv`: sets or replaces.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    /// `presetenv`: sets only what is not set yet.
    pub fn preset(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// `unsetenv`.
    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(n, _)| n != name);
    }

    /// `resetenv`: keeps the named variables only.
    pub fn reset(&mut self, keep: &[&str]) {
        self.variables.retain(|(n, _)| keep.contains(&n.as_str()));
    }

    /// Defines HAProxy's variables (manual 2.3). The log formats are for expansion only:
    /// [`Environment::forget_formats`] takes them out again once the files are read, as `show env` does not list
    /// them.
    pub fn define(&mut self, own: &Own<'_>) {
        self.set("HAPROXY_STARTUP_VERSION", own.startup_version.unwrap_or(crate::config::PERSONALITY));
        self.set("HAPROXY_BRANCH", crate::config::BRANCH);
        let files = own.config_files.join(";");
        let optional = [
            ("HAPROXY_LOCALPEER", own.local_peer),
            ("HAPROXY_CFGFILES", Some(files.as_str())),
            ("HAPROXY_MWORKER", own.master_worker.then_some("1")),
            ("HAPROXY_CLI", own.cli),
            ("HAPROXY_MASTER_CLI", own.master_cli),
        ];
        for (name, value) in optional {
            match value {
                Some(value) => self.set(name, value),
                None => self.unset(name),
            }
        }
        for (name, format) in LOG_FORMATS {
            self.set(name, format);
        }
    }

    /// Takes the default log formats out.
    pub fn forget_formats(&mut self) {
        for (name, _) in LOG_FORMATS {
            self.unset(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_keywords_change_the_copy() {
        let mut env = Environment::default();
        env.set("A", "1");
        env.preset("A", "2");
        env.preset("B", "3");
        env.set("C", "4");
        assert_eq!((env.get("A"), env.get("B")), (Some("1"), Some("3")));
        env.unset("B");
        assert_eq!(env.get("B"), None);
        env.reset(&["C", "D"]);
        assert_eq!(env.iter().collect::<Vec<_>>(), [("C", "4")]);
    }

    #[test]
    fn own_variables_are_fourteen() {
        let mut env = Environment::default();
        let files = ["a.cfg".to_owned(), "b.cfg".to_owned()];
        let own = Own {
            local_peer: Some("p"),
            config_files: &files,
            master_worker: true,
            cli: Some("c"),
            ..Own::default()
        };
        env.define(&Own { master_cli: Some("m"), ..own });
        assert_eq!(env.iter().count(), 14);
        assert_eq!(env.get("HAPROXY_CFGFILES"), Some("a.cfg;b.cfg"));
        assert_eq!(env.get("HAPROXY_BRANCH"), Some("3.4"));
        env.forget_formats();
        assert_eq!(env.iter().count(), 7);
    }
}
