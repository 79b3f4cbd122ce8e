//! `option external-check`.

use super::*;

/// The report of `sh -c <script>` as an external check.
fn external(script: &str, inter_ms: u64) -> String {
    let dir = std::env::temp_dir().join(format!("ringway-check-{}-{:?}", std::process::id(), thread::current().id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("check.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let report = report_of(plan_of(|p| {
        p.backend.check_kind = CheckKind::External;
        p.backend.external_check =
            ExternalCheck { command: Some(path.display().to_string()), path: Some("/usr/bin:/bin".to_owned()) };
        p.backend.servers[0].check = Some(CheckSettings { inter_ms, ..Default::default() });
        p.backend.servers[0].maxconn = 7;
    }));
    let _ = std::fs::remove_dir_all(&dir);
    short(&report)
}

#[test]
fn external_check_is_judged_by_its_exit_code() {
    assert_eq!(external("exit 0", 5000), "PROCOK/0");
    assert_eq!(external("exit 3", 5000), "PROCERR/3");
    assert_eq!(external("kill -9 $$", 5000), "PROCERR/255 killed by signal 9");
    assert_eq!(external("exec sleep 600", 40), "PROCTOUT/0");
    let missing = report_of(plan_of(|p| {
        p.backend.check_kind = CheckKind::External;
        p.backend.external_check.command = Some("/nonexistent/check".to_owned());
    }));
    assert_eq!(short(&missing), "PROCERR/255 No such file or directory");
}

#[test]
fn external_check_has_haproxy_s_arguments_and_environment() {
    let words = "[ \"$*\" = 'NOT_USED NOT_USED 127.0.0.1 1' ] || exit 10";
    let environment = "[ \"$(env | grep -v -e '^_=' -e '^SHLVL=' -e '^OLDPWD=' | sort | tr '\\n' ' ')\" = \
                       \"HAPROXY_PROXY_ADDR= HAPROXY_PROXY_ID=0 HAPROXY_PROXY_NAME=b HAPROXY_PROXY_PORT= \
                       HAPROXY_SERVER_ADDR=127.0.0.1 HAPROXY_SERVER_CURCONN=0 HAPROXY_SERVER_ID=1 \
                       HAPROXY_SERVER_MAXCONN=7 HAPROXY_SERVER_NAME=s HAPROXY_SERVER_PORT=1 HAPROXY_SERVER_PROTO=tcp \
                       HAPROXY_SERVER_SSL=0 PATH=/usr/bin:/bin PWD=$PWD \" ] || exit 11";
    assert_eq!(external(&format!("export LC_ALL=C; unset LC_ALL\n{words}\n{environment}"), 5000), "PROCOK/0");
}
