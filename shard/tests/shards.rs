//! Shards among themselves and alone: messages, doorbells, blocking jobs, timers, idleness.

#![allow(clippy::disallowed_methods)]

use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use ringlog_shard::buf::ReadBuf;
use ringlog_shard::{CloseReason, ConnId, Core, Host, Service, ShardConfig, ShardId, run};

enum Message {
    /// Play this many rounds with the other shard and report the time.
    Play {
        rounds: u32,
        pause: Duration,
    },
    Ping,
    Pong,
    Flood(u32),
    Job,
    JobDone(u32),
}

#[derive(Debug, PartialEq)]
enum Report {
    Rounds(Vec<Duration>),
    Flooded { sent: u32, taken: u32 },
    JobDone(u32),
    Timer(Duration),
}

struct Player {
    report: Sender<Report>,
    left: u32,
    pause: Duration,
    sent_at: Option<Instant>,
    times: Vec<Duration>,
    flooded: u32,
    timer_from: Option<Instant>,
}

impl Player {
    fn ping(&mut self, core: &mut Core<Message>) {
        let other = ShardId(1 - core.shard().0);
        self.sent_at = Some(Instant::now());
        assert!(core.post(other, Message::Ping).is_ok());
    }
}

impl Service for Player {
    type Message = Message;

    fn start(&mut self, core: &mut Core<Message>) {
        if core.shards() == 1 {
            self.timer_from = Some(core.now());
            core.wake_at(Some(core.now() + Duration::from_millis(20)));
        }
    }

    fn accepted(&mut self, _: &mut Core<Message>, _: ConnId, _: usize, _: SocketAddr) -> bool {
        false
    }

    fn received(&mut self, _: &mut Core<Message>, _: ConnId, _: &[u8]) {}

    fn drained(&mut self, _: &mut Core<Message>, _: ConnId) {}

    fn closed(&mut self, _: &mut Core<Message>, _: ConnId, _: CloseReason) {}

    fn disk_done(
        &mut self,
        _: &mut Core<Message>,
        _: u64,
        _: std::io::Result<u32>,
        _: Option<ReadBuf>,
    ) {
    }

    fn message(&mut self, core: &mut Core<Message>, from: ShardId, message: Message) {
        match message {
            Message::Play { rounds, pause } => {
                assert_eq!(from, core.shard());
                (self.left, self.pause) = (rounds, pause);
                self.ping(core);
            }
            Message::Ping => assert!(core.post(from, Message::Pong).is_ok()),
            Message::Pong => {
                self.times.push(self.sent_at.unwrap().elapsed());
                self.left -= 1;
                if self.left == 0 {
                    self.report.send(Report::Rounds(std::mem::take(&mut self.times))).unwrap();
                } else if self.pause.is_zero() {
                    self.ping(core);
                } else {
                    core.wake_at(Some(core.now() + self.pause));
                }
            }
            Message::Flood(0) => {
                let other = ShardId(1 - core.shard().0);
                let mut sent = 0;
                while core.post(other, Message::Flood(sent + 1)).is_ok() {
                    sent += 1;
                }
                self.report.send(Report::Flooded { sent, taken: 0 }).unwrap();
            }
            Message::Flood(number) => {
                assert_eq!(number, self.flooded + 1, "messages keep their order");
                self.flooded = number;
                self.report.send(Report::Flooded { sent: 0, taken: number }).unwrap();
            }
            Message::Job => {
                for number in 0..3 {
                    core.blocking(Box::new(move || {
                        std::thread::sleep(Duration::from_millis(5 - number));
                        Message::JobDone(number as u32)
                    }));
                }
            }
            Message::JobDone(number) => {
                assert_eq!(from, core.shard());
                self.report.send(Report::JobDone(number)).unwrap();
            }
        }
    }

    fn timer(&mut self, core: &mut Core<Message>) {
        if let Some(from) = self.timer_from.take() {
            self.report.send(Report::Timer(core.now() - from)).unwrap();
        } else {
            self.ping(core);
        }
    }

    fn turn_end(&mut self, _: &mut Core<Message>) {}
}

type Running = (ringlog_shard::Handle<Message>, std::sync::mpsc::Receiver<Report>);

fn start(change: impl FnOnce(&mut ShardConfig)) -> Running {
    let mut config =
        ShardConfig { shards: 2, memory: 1 << 20, host: Host::Bare, ..ShardConfig::default() };
    change(&mut config);
    let (report, reports) = channel();
    let make = move |_| Player {
        report: report.clone(),
        left: 0,
        pause: Duration::ZERO,
        sent_at: None,
        times: Vec::new(),
        flooded: 0,
        timer_from: None,
    };
    (run(config, make).unwrap(), reports)
}

fn play(change: impl FnOnce(&mut ShardConfig), rounds: u32, pause: Duration) -> Vec<Duration> {
    let (handle, reports) = start(change);
    handle.post(ShardId(0), Message::Play { rounds, pause });
    let report = reports.recv_timeout(Duration::from_secs(30)).unwrap();
    handle.stop();
    handle.join().unwrap();
    let Report::Rounds(mut times) = report else { panic!("not a game: {report:?}") };
    assert_eq!(times.len(), rounds as usize);
    times.sort();
    times
}

#[test]
fn ping_pong() {
    play(|_| {}, 20_000, Duration::ZERO);
}

#[test]
fn ping_pong_between_sleepers() {
    play(|config| config.spin = Duration::ZERO, 2000, Duration::ZERO);
    play(|config| config.spin = Duration::ZERO, 50, Duration::from_millis(2));
}

#[test]
fn ping_pong_on_the_glommio_host() {
    play(|config| config.host = Host::Glommio, 5000, Duration::ZERO);
    let sleepy = |config: &mut ShardConfig| {
        config.host = Host::Glommio;
        config.spin = Duration::ZERO;
    };
    play(sleepy, 2000, Duration::ZERO);
    play(sleepy, 50, Duration::from_millis(2));
}

#[test]
fn a_full_lane_answers_and_loses_nothing() {
    let (handle, reports) = start(|config| config.lane_messages = 64);
    handle.post(ShardId(0), Message::Flood(0));
    let (mut sent, mut taken) = (None, 0);
    while sent != Some(taken) {
        match reports.recv_timeout(Duration::from_secs(10)).unwrap() {
            Report::Flooded { sent: 0, taken: number } => taken = number,
            Report::Flooded { sent: count, .. } => sent = Some(count),
            other => panic!("not a flood: {other:?}"),
        }
    }
    assert!(taken >= 64);
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn blocking_jobs_run_in_order_and_answer() {
    for host in [Host::Bare, Host::Glommio] {
        let (handle, reports) = start(|config| config.host = host);
        handle.post(ShardId(1), Message::Job);
        for number in 0..3 {
            let report = reports.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(report, Report::JobDone(number));
        }
        handle.stop();
        handle.join().unwrap();
    }
}

#[test]
fn timers_fire_and_not_early() {
    for host in [Host::Bare, Host::Glommio] {
        let (handle, reports) = start(|config| (config.shards, config.host) = (1, host));
        let report = reports.recv_timeout(Duration::from_secs(10)).unwrap();
        let Report::Timer(after) = report else { panic!("not a timer: {report:?}") };
        assert!(after >= Duration::from_millis(20), "{after:?}");
        assert!(after < Duration::from_millis(500), "{after:?}");
        handle.stop();
        handle.join().unwrap();
    }
}

/// CPU time of this process, all threads.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[test]
#[ignore = "measures this process alone: cargo test -- --ignored --test-threads 1"]
fn idle_shards_cost_nothing() {
    for host in [Host::Bare, Host::Glommio] {
        let (handle, _) = start(|config| config.host = host);
        std::thread::sleep(Duration::from_millis(300));
        let before = cpu_time();
        std::thread::sleep(Duration::from_secs(2));
        let used = cpu_time() - before;
        assert!(used <= Duration::from_millis(20), "{host:?} used {used:?} in 2 s of idleness");
        println!("{host:?}: {used:?} CPU in 2 s of idleness");
        handle.stop();
        handle.join().unwrap();
    }
}

#[test]
#[ignore = "a measurement: cargo test --profile fast -- --ignored --nocapture"]
fn ping_pong_latency() {
    for host in [Host::Bare, Host::Glommio] {
        for (name, spin, pause) in [("awake", 50, 0), ("asleep", 0, 200), ("asleep, spin", 50, 200)]
        {
            let cpus = Some(vec![0, 1]);
            let change = |config: &mut ShardConfig| {
                (config.host, config.cpus) = (host, cpus);
                config.spin = Duration::from_micros(spin);
            };
            let rounds = if pause == 0 { 200_000 } else { 5000 };
            let times = play(change, rounds, Duration::from_micros(pause));
            let at = |part: f64| times[(times.len() as f64 * part) as usize];
            println!("{host:?} {name}: p50 {:?} p99 {:?}", at(0.5), at(0.99));
        }
    }
}
