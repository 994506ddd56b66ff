//! Kafka's text checkpoints.
//!
//! ```text
//! 0\n            version
//! <count>\n      number of lines that follow
//! <line>\n ...   fields between single spaces
//! ```
//!
//! A file of no bytes is legal and empty; any other ends with a line's end, or it was cut.

use super::{CheckpointError, utf8};

/// The version of the format; there is no other.
const VERSION: &str = "0";

/// The bytes of a checkpoint of these lines.
pub(crate) fn render(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut out = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// The lines of a checkpoint with their numbers in the file, counted and complete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<(usize, &str)>, CheckpointError> {
    let text = utf8(bytes)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n').zip(1usize..);
    let (version, _) = lines.next().unwrap_or_default();
    if version != VERSION {
        return Err(CheckpointError::at(1, "the version must be 0", version));
    }
    let (count, _) = lines.next().unwrap_or_default();
    let expected = number::<usize>(2, "number of lines", count)?;
    let lines: Vec<_> = lines.map(|(line, at)| (at, line)).collect();
    if lines.len() != expected {
        return Err(CheckpointError::at(2, "the number of lines differs", count));
    }
    if !text.ends_with('\n') {
        // A number that lost its last digits still is a number.
        let (at, line) = lines.last().copied().unwrap_or((2, count));
        return Err(CheckpointError::at(at, "the last line is cut", line));
    }
    Ok(lines)
}

/// A line's fields, exactly `N`.
pub(crate) fn fields<const N: usize>(at: usize, line: &str) -> Result<[&str; N], CheckpointError> {
    let mut out = [""; N];
    let mut parts = line.split(' ');
    for slot in &mut out {
        *slot = match parts.next() {
            Some(part) if !part.is_empty() => part,
            _ => return Err(CheckpointError::at(at, "a field is missing", line)),
        };
    }
    match parts.next() {
        None => Ok(out),
        Some(_) => Err(CheckpointError::at(at, "there are too many fields", line)),
    }
}

/// A number that is not negative, as digits only.
pub(crate) fn number<T: std::str::FromStr>(
    at: usize,
    what: &'static str,
    text: &str,
) -> Result<T, CheckpointError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(value) if digits => Ok(value),
        _ => Err(CheckpointError::at(at, what, text)),
    }
}
