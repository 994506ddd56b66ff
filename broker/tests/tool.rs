//! The program itself, run as people run it: `ringlog topic`, its log lines, its metrics address.
#![allow(clippy::disallowed_methods, reason = "a test stands outside: it has a clock and sockets")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use common::{Broker, Dir, Options, eventually};

const RINGLOG: &str = env!("CARGO_BIN_EXE_ringlog");

/// `ringlog topic …` against a broker: exit code, standard output, standard error.
fn topic(broker: &Broker, args: &[&str]) -> (i32, String, String) {
    let bootstrap = broker.address(0).to_string();
    told(Command::new(RINGLOG).arg("topic").args(args).args(["--bootstrap-server", &bootstrap]))
}

fn told(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

#[test]
fn topics_are_looked_after_from_the_command_line() {
    let broker = Broker::start_with(Options { shards: 2, ..Options::default() });
    let good = |args: &[&str], expected: &str| {
        let (code, out, err) = topic(&broker, args);
        assert_eq!((code, &*err), (0, ""), "{args:?}");
        assert_eq!(out, expected, "{args:?}");
    };
    let bad = |args: &[&str], expected: &str| {
        let (code, out, err) = topic(&broker, args);
        assert_eq!((code, &*out), (1, ""), "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: {err}");
    };
    good(&["list"], "");
    let setting = "max.message.bytes=2000";
    let create = ["create", "--topic", "orders", "--partitions", "2", "--config", setting];
    good(&create, "created topic orders with 2 partitions of 1 replicas\n");
    bad(&create, "TOPIC_ALREADY_EXISTS");
    good(&[&create[..], &["--if-not-exists"]].concat(), "topic orders exists already\n");
    bad(&["create", "--topic", "b@d"], "INVALID_TOPIC_EXCEPTION");
    bad(&["create", "--topic", "x", "--config", "no.such=1"], "INVALID_CONFIG");
    bad(&["create", "--topic", "x", "--config", "nothing"], "KEY=VALUE");
    bad(&["create", "--topic", "x", "--replication-factor", "3"], "INVALID_REPLICATION_FACTOR");
    good(
        &["create", "--topic", "another"],
        "created topic another with 1 partitions of 1 replicas\n",
    );
    good(&["list"], "another\norders\n");
    good(&["alter", "--topic", "orders", "--partitions", "3"], "topic orders has 3 partitions\n");
    bad(&["alter", "--topic", "orders", "--partitions", "1"], "INVALID_PARTITIONS");
    bad(&["alter", "--topic", "nope", "--partitions", "1"], "ringlog topic list");
    bad(&["alter", "--topic", "orders"], "--partitions");
    let (code, out, _) = topic(&broker, &["describe", "--topic", "orders"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (0, 6), "{out}");
    assert!(lines[0].starts_with("topic orders  id ") && lines[0].contains("partitions 3"));
    assert!(lines[2].contains("PARTITION") && lines[2].contains("LEADER"), "{out}");
    assert!(lines[5].trim_start().starts_with("2 "), "{out}");
    bad(&["describe", "--topic", "nope"], "does not exist");
    let altered = "topic orders has its settings\n";
    good(&["alter", "--topic", "orders", "--config", "retention.ms=60000"], altered);
    let own = |expected: &[&str]| {
        let (_, out, _) = topic(&broker, &["describe", "--topic", "orders"]);
        let own: Vec<&str> = out.lines().map(str::trim).filter(|line| line.contains('=')).collect();
        assert_eq!(own, expected, "{out}");
    };
    own(&[setting, "retention.ms=60000"]);
    good(&["alter", "--topic", "orders", "--delete-config", "max.message.bytes"], altered);
    own(&["retention.ms=60000"]);
    bad(&["alter", "--topic", "orders", "--config", "retention.ms=soon"], "INVALID_CONFIG");
    bad(&["alter", "--topic", "nope", "--config", "retention.ms=1"], "UNKNOWN_TOPIC_OR_PARTITION");
    bad(&["alter", "--topic", "orders", "--config", "nothing"], "KEY=VALUE");
    own(&["retention.ms=60000"]);
    let (code, out, err) = topic(&broker, &["delete", "--topic", "another", "--topic", "nope"]);
    assert_eq!((code, &*out), (1, "deleted topic another\n"));
    assert!(err.contains("nope does not exist"), "{err}");
    good(&["delete", "--topic", "nope", "--if-exists"], "topic nope does not exist\n");
    good(&["list"], "orders\n");
}

#[test]
fn a_broker_that_is_not_there_is_told_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let server = free.to_string();
    let args = ["topic", "list", "--bootstrap-server", &server];
    let (code, out, err) = told(Command::new(RINGLOG).args(args));
    assert_eq!((code, &*out), (1, ""));
    assert!(err.contains(&server) && err.contains("--bootstrap-server"), "{err}");
    let (code, ..) = told(Command::new(RINGLOG).args(["topic", "destroy"]));
    assert_eq!(code, 2, "a command that is none");
}

/// A `ringlog` that serves until it is dropped.
struct Program {
    child: Child,
    errors: BufReader<std::process::ChildStderr>,
    _dir: Dir,
}

impl Program {
    /// On ports of the system's choice, and with these arguments.
    fn start(args: &[&str]) -> Program {
        let dir = Dir::fresh();
        let mut command = Command::new(RINGLOG);
        command.args(["--listen", "127.0.0.1:0", "--advertise", "node", "--shards", "1"]);
        command.args(["--cpus", "none", "--memory", "64M", "--data-dir"]).arg(dir.path());
        command.args(args).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        Program { child, errors, _dir: dir }
    }

    /// Its next log lines, up to the one that has `word` in it.
    fn lines_until(&mut self, word: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let count = self.errors.read_line(&mut line).expect("UTF-8");
            assert!(count > 0, "it ended without {word:?}: {lines:?}");
            lines.push(line);
            if lines[lines.len() - 1].contains(word) {
                return lines;
            }
        }
    }

    fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").arg(&id).status().expect("kill runs");
        assert!(sent.success());
        let mut rest = String::new();
        self.errors.read_to_string(&mut rest).expect("UTF-8");
        let status = eventually("the end", || self.child.try_wait().expect("a child"));
        assert!(status.success(), "{status}: {rest}");
        rest
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn json_log_lines_are_json() {
    let mut program = Program::start(&["--log-format", "json", "--http-listen", "127.0.0.1:0"]);
    let lines = program.lines_until("\"serving\"");
    let rest = program.stop();
    let all: Vec<&str> = lines.iter().map(String::as_str).chain(rest.lines()).collect();
    assert!(all.len() >= 4, "{all:?}");
    for line in &all {
        let json: serde_json::Value = serde_json::from_str(line).expect(line);
        for field in ["timestamp", "level", "fields"] {
            assert!(json.get(field).is_some(), "{line}");
        }
    }
    let serving: serde_json::Value = serde_json::from_str(&lines[lines.len() - 1]).expect("JSON");
    for field in ["version", "node_id", "shards", "advertise", "partitions", "data_dir"] {
        assert!(serving["fields"].get(field).is_some(), "{field}: {serving}");
    }
}

#[test]
fn text_log_lines_have_no_colours_in_a_file_and_are_filtered() {
    let mut program = Program::start(&["--http-listen", "none"]);
    let lines = program.lines_until("serving");
    let rest = program.stop();
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:?}");
    assert!(rest.contains("stopped cleanly"), "{rest}");
    let args = ["--log", "tracing=off,[", "--http-listen", "none"];
    let (code, _, err) = told(Command::new(RINGLOG).args(args));
    assert_eq!(code, 1);
    assert!(err.contains("--log"), "{err}");
}
