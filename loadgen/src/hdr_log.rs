//! The standard log of HdrHistogram: one line for each kind of latency and second, as
//! HistogramLogAnalyzer, hdr-plot and the libraries read it.
//!
//! ```text
//! #[Histogram log format version 1.3]
//! #[StartTime: 1763760000.000 (seconds since epoch)]
//! "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
//! Tag=produce,0.000,1.000,12.345,HISTFAAA...        start s, length s, max ms, histogram of ns
//! ```

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::error::Error;
use crate::meter::{Track, WallClock};
use crate::options::Common;

const VERSION: &str = "[Histogram log format version 1.3]";
const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";
/// Histograms are of nanoseconds, the column of maxima is in milliseconds.
const NANOS_PER_MILLI: f64 = 1e6;

/// A log that is being written. The first failure is kept until `finish`: a full disk does not
/// disturb the run.
pub struct HdrLog {
    path: PathBuf,
    file: File,
    start: Instant,
    serializer: V2DeflateSerializer,
    failure: Option<io::Error>,
}

impl std::fmt::Debug for HdrLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HdrLog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl HdrLog {
    /// Begins a new file; times count from now.
    pub fn create(path: &Path, clock: &WallClock) -> Result<HdrLog, Error> {
        let what = || format!("create {}", path.display());
        let file = File::create(path).map_err(|error| Error::io(what(), error))?;
        let start = Instant::now();
        let mut log = HdrLog {
            path: path.to_owned(),
            file,
            start,
            serializer: V2DeflateSerializer::new(),
            failure: None,
        };
        let mut head = Vec::new();
        let epoch = std::time::SystemTime::UNIX_EPOCH + Duration::from_nanos(clock.nanos(start));
        IntervalLogWriterBuilder::new()
            .add_comment(VERSION)
            .with_start_time(epoch)
            .begin_log_with(&mut head, &mut log.serializer)
            .map_err(|error| Error::io(what(), error))?;
        head.extend_from_slice(LEGEND.as_bytes());
        log.file.write_all(&head).map_err(|error| Error::io(what(), error))?;
        Ok(log)
    }

    /// Appends what was measured from `began` on, for `length`. `tag` has no comma and no space.
    pub fn write(
        &mut self,
        tag: &'static str,
        histogram: &Histogram<u64>,
        began: Instant,
        length: Duration,
    ) {
        if self.failure.is_none()
            && let Err(error) = self.try_write(tag, histogram, began, length)
        {
            self.failure = Some(error);
        }
    }

    fn try_write(
        &mut self,
        tag: &'static str,
        histogram: &Histogram<u64>,
        began: Instant,
        length: Duration,
    ) -> io::Result<()> {
        let mut text = Vec::new();
        IntervalLogWriterBuilder::new()
            .with_max_value_divisor(NANOS_PER_MILLI)
            .begin_log_with(&mut text, &mut self.serializer)?
            .write_histogram(
                histogram,
                began.saturating_duration_since(self.start),
                length,
                Tag::new(tag),
            )
            .map_err(io::Error::other)?;
        // The writer begins with a comment on the divisor, which Java's has without saying so.
        let line = text.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.file.write_all(&text[line..])
    }

    /// The first failure, if there was one.
    pub fn finish(&mut self) -> Result<(), Error> {
        let what = || format!("write {}", self.path.display());
        self.failure.take().map_or(Ok(()), |error| Err(Error::io(what(), error)))
    }
}

/// The log that the options ask for, for the meters of a run to share.
pub fn open(common: &Common, clock: &WallClock) -> Result<Option<Rc<RefCell<HdrLog>>>, Error> {
    let log = |path: &PathBuf| HdrLog::create(path, clock).map(|log| Rc::new(RefCell::new(log)));
    common.hdr_log.as_ref().map(log).transpose()
}

/// The part of the log of one kind of latency.
pub fn track(log: &Option<Rc<RefCell<HdrLog>>>, tag: &'static str) -> Option<Track> {
    log.as_ref().map(|log| Track { tag, log: Rc::clone(log) })
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::meter::histogram;

    #[test]
    fn the_log_is_read_back_by_the_library() {
        let path = std::env::temp_dir().join(format!("ringlog-hdr-{}", std::process::id()));
        let mut log = HdrLog::create(&path, &WallClock::start()).unwrap();
        let mut latencies = histogram();
        latencies.record_n(2_000_000, 99).unwrap();
        latencies.record(50_000_000).unwrap();
        let began = log.start + Duration::from_secs(1);
        log.write("produce", &latencies, began, Duration::from_secs(1));
        log.write("end-to-end", &histogram(), began, Duration::from_millis(500));
        log.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(bytes.starts_with(b"#[Histogram log format version 1.3]\n#[StartTime: "));
        let entries: Vec<LogEntry<'_>> =
            IntervalLogIterator::new(&bytes).map(|entry| entry.expect("it reads")).collect();
        let intervals: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        let tags: Vec<&str> = intervals.iter().map(|one| one.tag().unwrap().as_str()).collect();
        assert_eq!(tags, ["produce", "end-to-end"]);
        assert_eq!(intervals[0].start_timestamp(), Duration::from_secs(1));
        assert_eq!(intervals[0].duration(), Duration::from_secs(1));
        assert!((intervals[0].max() - 50.0).abs() < 0.1, "milliseconds: {}", intervals[0].max());
        let raw = base64(intervals[0].encoded_histogram());
        let mut reader = hdrhistogram::serialization::Deserializer::new();
        let read: Histogram<u64> = Deserializer::deserialize(&mut reader, &mut &raw[..]).unwrap();
        assert_eq!(read.len(), 100);
        assert_eq!(read.value_at_quantile(0.5), latencies.value_at_quantile(0.5));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let error = HdrLog::create(Path::new("/nowhere/x"), &WallClock::start()).unwrap_err();
        assert!(error.to_string().contains("create /nowhere/x"), "{error}");
    }

    /// Decodes standard base64.
    fn base64(text: &str) -> Vec<u8> {
        let value = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let digits = text.bytes().filter(|byte| *byte != b'=').map(value);
        let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
        for digit in digits {
            (bits, held) = (bits << 6 | u32::from(digit), held + 6);
            if held >= 8 {
                held -= 8;
                out.push((bits >> held) as u8);
            }
        }
        out
    }
}
