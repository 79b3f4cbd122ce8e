#!/bin/sh
# Writes the expectation of every configuration here that has none, or of those named, by asking a HAProxy 3.4:
#     HAPROXY=/path/to/haproxy ./generate.sh [name.cfg ...]
# Expectations that begin with "# decision" were written by hand (ringway differs on purpose) and are left alone.
cd "$(dirname "$0")" || exit 1
: "${HAPROXY:?name a HAProxy 3.4 in HAPROXY}"
for cfg in "${@:-}"; do
    [ -n "$cfg" ] || { set -- *.cfg; exec "$0" "$@"; }
    expect="${cfg%.cfg}.expect"
    grep -q '^# decision' "$expect" 2>/dev/null && continue
    args=$(sed -n 's/^# args: //p' "$cfg")
    # shellcheck disable=SC2086
    out=$("$HAPROXY" -c ${args} -f "$cfg" 2>stderr.tmp); code=$?
    {
        echo "exit $code"
        [ -z "$out" ] || printf '%s\n' "$out" | sed 's/^/stdout /'
        sed -n -E \
            -e 's/^\[ALERT\] +\([0-9]+\) : /alert /p' \
            -e 's/^\[WARNING\] +\([0-9]+\) : /warning /p' \
            -e 's/^\[NOTICE\] +\([0-9]+\) : (haproxy version|path to exec)/skip /' \
            -e 's/^\[NOTICE\] +\([0-9]+\) : /notice /p' \
            -e 's/^ +(\| +)?([^ ].*[A-Za-z].*)/more \2/p' stderr.tmp
    } > "$expect"
done
rm -f stderr.tmp
