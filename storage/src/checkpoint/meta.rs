//! `meta.properties`: whose data directory this is. Java properties text, any order of keys.
//!
//! Taken: comments (`#`, `!`), blank lines, white space around keys, `=`, `:` or white space
//! between key and value, and a backslash that makes the next character literal (Java escapes `:`
//! and `=` so). Refused: `\u`, continued lines and double keys, which Kafka never writes here.
//! Unknown keys are kept, so that a rewrite loses nothing.

use std::collections::BTreeMap;

use super::{CheckpointError, utf8};

/// The file's name at the root of the data directory.
pub const META_PROPERTIES: &str = "meta.properties";
/// The version Ringlog reads and writes.
const VERSION: &str = "1";

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster's id, usually 22 characters of base64url.
    pub cluster_id: String,
    /// The node's id.
    pub node_id: i32,
    /// This directory's id; absent in directories formatted by old versions.
    pub directory_id: Option<String>,
    /// Keys that mean nothing to us, kept.
    pub others: BTreeMap<String, String>,
}

impl MetaProperties {
    /// The file's bytes, without a comment: the time it would state is not ours to ask.
    pub fn render(&self) -> String {
        let mut out = String::from("#\n");
        let mut line = |key: &str, value: &str| {
            escape(&mut out, key, true);
            out.push('=');
            escape(&mut out, value, false);
            out.push('\n');
        };
        line("cluster.id", &self.cluster_id);
        if let Some(id) = &self.directory_id {
            line("directory.id", id);
        }
        line("node.id", &self.node_id.to_string());
        line("version", VERSION);
        for (key, value) in &self.others {
            line(key, value);
        }
        out
    }

    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut keys = properties(utf8(bytes)?)?;
        let mut take = |key: &'static str, what: &'static str| {
            keys.remove(key).ok_or(CheckpointError::at(0, what, key))
        };
        let (at, version) = take("version", "the version is missing")?;
        if version != VERSION {
            return Err(CheckpointError::at(at, "the version must be 1", &version));
        }
        let (at, cluster_id) = take("cluster.id", "the cluster id is missing")?;
        if cluster_id.is_empty() {
            return Err(CheckpointError::at(at, "the cluster id is empty", ""));
        }
        let (at, node_id) = take("node.id", "the node id is missing")?;
        let node_id = super::text::number::<i32>(at, "node id", &node_id)?;
        let directory_id = keys.remove("directory.id").map(|(_, id)| id);
        if let Some(id) = &directory_id
            && !super::partition::is_id(id)
        {
            let what = "a directory id is 22 characters of base64url";
            return Err(CheckpointError::at(0, what, id));
        }
        let others = keys.into_iter().map(|(key, (_, value))| (key, value)).collect();
        Ok(Self { cluster_id, node_id, directory_id, others })
    }
}

type Properties = BTreeMap<String, (usize, String)>;

fn properties(text: &str) -> Result<Properties, CheckpointError> {
    let mut keys = Properties::new();
    for (line, at) in text.split(['\n', '\r']).zip(1usize..) {
        let line = line.trim_start_matches([' ', '\t', '\x0c']);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, rest) = unescape(at, line, true)?;
        let rest = rest.trim_start_matches([' ', '\t', '\x0c']);
        let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
        let (value, _) = unescape(at, rest.trim_start_matches([' ', '\t', '\x0c']), false)?;
        if keys.insert(key, (at, value)).is_some() {
            return Err(CheckpointError::at(at, "the key is there twice", line));
        }
    }
    Ok(keys)
}

/// The text up to the key's end (or all of a value), its backslashes resolved, and what follows.
fn unescape(at: usize, text: &str, is_key: bool) -> Result<(String, &str), CheckpointError> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 't')) => out.push('\t'),
                Some((_, 'n' | 'r' | 'f' | 'u')) | None => {
                    return Err(CheckpointError::at(at, "an escape that is not taken here", text));
                }
                Some((_, literal)) => out.push(literal),
            },
            ' ' | '\t' | '\x0c' | '=' | ':' if is_key => return Ok((out, &text[index..])),
            _ => out.push(c),
        }
    }
    Ok((out, ""))
}

fn escape(out: &mut String, text: &str, is_key: bool) {
    assert!(!text.contains(['\n', '\r', '\x0c']), "a property is one line");
    for (at, c) in text.char_indices() {
        match c {
            '\t' => out.push_str("\\t"),
            ' ' if is_key || at == 0 => out.push_str("\\ "),
            '\\' | '=' | ':' | '#' | '!' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
}
