//! `ringlog`: reads what the user asked for, then serves until it is told to stop, or checks the
//! machine.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use ringlog_broker::config::{Config, Flags, LogFormat, Machine};
use ringlog_broker::message::Message;
use ringlog_broker::tool::topic::{self, TopicArgs};
use ringlog_broker::{check, serve};
use ringlog_shard::ShardId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;

/// "File size limit exceeded": a write past RLIMIT_FSIZE must be an error of that write, not our
/// death.
const SIGXFSZ: i32 = 25;

/// An event-streaming broker that speaks the Kafka protocol.
#[derive(Parser)]
#[command(name = "ringlog", version, about)]
struct Cli {
    /// A TOML file with the same keys as the flags
    #[arg(long, env = "RINGLOG_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Say what the kernel, the limits, the file system and the disk will do to performance, and
    /// how to mend it
    Check {
        /// A TOML file with the same keys as the flags
        #[arg(long = "config", id = "check_config", value_name = "CONFIG")]
        config: Option<PathBuf>,
    },
    /// Make, list, describe, alter and delete topics, on this or any other Kafka broker
    Topic(TopicArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("ringlog: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, String> {
    let config = match &cli.command {
        Some(Command::Topic(args)) => return run_topic(args),
        Some(Command::Check { config }) => config.as_ref().or(cli.config.as_ref()),
        None => cli.config.as_ref(),
    };
    let file = match config {
        Some(path) => read_config(path)?,
        None => Flags::default(),
    };
    let format = cli.flags.log_format.or(file.log_format).unwrap_or(LogFormat::Auto);
    begin_logging(format, cli.flags.log.as_deref().or(file.log.as_deref()))?;
    let config = Config::resolve(cli.flags, file, &machine()?)?;
    match cli.command {
        None => serve_until_told(config),
        Some(Command::Check { .. }) => Ok(check::run(&config)),
        Some(Command::Topic(_)) => unreachable!("it needs no configuration"),
    }
}

fn run_topic(args: &TopicArgs) -> Result<ExitCode, String> {
    let mut out = String::new();
    let done = topic::run(args, &mut out);
    let printed = print(&out);
    done.map(|()| printed)
}

/// A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringlog: standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_until_told(config: Config) -> Result<ExitCode, String> {
    let xfsz = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGXFSZ, xfsz).map_err(|error| format!("SIGXFSZ: {error}"))?;
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|error| format!("signals: {error}"))?;
    let shards = config.shards;
    let server = serve::start(config, serve::Clocks { wall_ms, now })?;
    let remote = server.remote();
    std::thread::spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 {
                tracing::warn!(signal, "told twice to stop: leaving at once");
                std::process::exit(130);
            }
            tracing::info!(signal, "stopping");
            for shard in 0..shards {
                remote.post(ShardId(shard as u16), Message::Stop);
            }
        }
    });
    server.wait()?;
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::disallowed_methods, reason = "here the process's clock enters, as an argument")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "here the process's clock enters, as an argument")]
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn read_config(path: &PathBuf) -> Result<Flags, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("--config {}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("--config {}: {error}", path.display()))
}

fn begin_logging(format: LogFormat, filter: Option<&str>) -> Result<(), String> {
    let rust_log = std::env::var("RUST_LOG").ok();
    let filter = filter.or(rust_log.as_deref()).unwrap_or("info");
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        format!("--log: expected a filter as info,ringlog_broker=debug, found {filter:?}: {error}")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = format == LogFormat::Auto
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match format {
        LogFormat::Auto | LogFormat::Text => builder.with_target(false).with_ansi(colours).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// What this process may use, as the kernel tells it.
fn machine() -> Result<Machine, String> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|error| format!("{path}: {error} (is /proc there?)"))
    };
    let (status, meminfo) = (read("/proc/self/status")?, read("/proc/meminfo")?);
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|rest| rest.trim().to_string()).ok_or_else(|| format!("/proc has no {name}"))
    };
    let cpus = ringlog_broker::config::parse_list(&field(&status, "Cpus_allowed_list:")?)?;
    let memory = field(&meminfo, "MemTotal:")?;
    let kib = memory.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    let memory_bytes = kib.ok_or_else(|| format!("MemTotal: {memory}"))? << 10;
    // Without the file there are no control groups; a group without a limit says "max".
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = Machine::memory_limit_files(&groups).into_iter().filter_map(|path| {
        std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok())
    });
    let memory_bytes = limits.fold(memory_bytes, u64::min);
    Ok(Machine { cpus, memory_bytes })
}
