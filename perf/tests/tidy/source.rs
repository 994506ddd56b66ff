//! A Rust source file with its comments and literals blanked out, so that plain text searches see
//! code only. Line numbers stay as they are.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the repository.
pub struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// The same with spaces where comments, strings and characters were.
    pub code: String,
}

impl Source {
    /// All Rust files of the crates, without build outputs.
    pub fn all(root: &Path, crates: &[&str]) -> Vec<Source> {
        let mut paths = Vec::new();
        for name in crates {
            collect(&root.join(name), &mut paths);
        }
        paths.sort();
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).expect("sources are readable");
            let relative = path.strip_prefix(root).expect("the walk began at the root");
            let path = relative.to_string_lossy().replace('\\', "/");
            Source { path, code: blanked(&text), text }
        };
        paths.iter().map(read).collect()
    }

    /// The number of the line (from 1) that holds this byte.
    pub fn line_of(&self, at: usize) -> usize {
        self.code.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Where a word stands in the code, as a whole word.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_word =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let code = self.code.as_bytes();
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let before = at.checked_sub(1).and_then(|at| code.get(at));
            !is_word(before) && !is_word(code.get(at + word.len()))
        })
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != "cache" {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Spaces for every byte of comments and literals; newlines stay.
pub fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            code.push(if bytes[at].is_ascii() { bytes[at] } else { b' ' });
            at += 1;
        } else {
            let blank = |byte: &u8| if *byte == b'\n' { b'\n' } else { b' ' };
            code.extend(bytes[at..end].iter().map(blank));
            at = end;
        }
    }
    String::from_utf8(code).expect("only ASCII is left")
}

/// The end of the comment or literal that begins at `at`, or `at` when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let previous = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
    let in_word = previous.is_ascii_alphanumeric() || previous == b'_';
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment_bytes(rest);
    }
    if rest[0] == b'"' {
        return at + 1 + until_quote(&rest[1..], b'"');
    }
    if rest[0] == b'r' && (!in_word || previous == b'b') {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
            let body = &rest[2 + hashes..];
            let end = body.windows(close.len()).position(|window| window == close);
            return at + 2 + hashes + end.map_or(body.len(), |end| end + close.len());
        }
    }
    if rest[0] == b'\'' && (!in_word || previous == b'b') {
        return at + character_bytes(rest);
    }
    at
}

fn block_comment_bytes(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Bytes up to and with the closing quote.
fn until_quote(body: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    body.len()
}

/// A character literal has its quote after one character; anything else is a lifetime (0 bytes).
fn character_bytes(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return 1 + until_quote(&rest[1..], b'\'');
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
    let text = text.or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]));
    let width = text.ok().and_then(|text| text.chars().next()).map_or(1, char::len_utf8);
    if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
}
