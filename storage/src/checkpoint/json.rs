//! A strict reader of the small JSON objects Kafka keeps beside its logs: objects, arrays, strings
//! and integers. Nothing else is in those files; a fraction, `true` or `null` is an error. Depth
//! and size are bounded.

use super::{CheckpointError, utf8};

/// Deepest nesting taken: `quorum-state` needs three.
const DEPTH_MAX: usize = 8;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// An integer.
    Number(i64),
    /// A string, its escapes resolved.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the file's order, no key twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value that fills the file (white space around it is taken).
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut reader = Reader { text: utf8(bytes)?, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        if reader.at < reader.text.len() {
            return Err(reader.error("nothing may follow the value"));
        }
        Ok(value)
    }

    /// The value under `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The integer under `key`, within `T`.
    pub fn number<T: TryFrom<i64>>(&self, key: &'static str) -> Result<T, CheckpointError> {
        match self.get(key) {
            Some(&Self::Number(value)) => {
                T::try_from(value).map_err(|_| CheckpointError::at(0, "a number out of range", key))
            }
            Some(_) => Err(CheckpointError::at(0, "the value must be an integer", key)),
            None => Err(CheckpointError::at(0, "a key is missing", key)),
        }
    }

    /// The string under `key`.
    pub fn string(&self, key: &'static str) -> Result<&str, CheckpointError> {
        match self.get(key) {
            Some(Self::String(value)) => Ok(value),
            Some(_) => Err(CheckpointError::at(0, "the value must be a string", key)),
            None => Err(CheckpointError::at(0, "a key is missing", key)),
        }
    }
}

/// `text` as a JSON string.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn error(&self, what: &'static str) -> CheckpointError {
        CheckpointError::at(self.at, what, self.text.get(self.at..).unwrap_or_default())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), CheckpointError> {
        self.space();
        if self.peek() != Some(byte) {
            return Err(self.error(what));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `byte` if it comes next.
    fn taken(&mut self, byte: u8) -> bool {
        self.space();
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn value(&mut self, depth: usize) -> Result<Json, CheckpointError> {
        if depth == DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            _ => Err(self.error("an object, array, string or integer must come here")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, CheckpointError> {
        self.expect(b'{', "an object begins with {")?;
        let mut fields: Vec<(String, Json)> = Vec::new();
        if self.taken(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            self.space();
            let key = self.string()?;
            if fields.iter().any(|(name, _)| *name == key) {
                return Err(self.error("a key is there twice"));
            }
            if fields.len() == Self::FIELDS_MAX {
                return Err(self.error("too many keys"));
            }
            self.expect(b':', "a key is followed by :")?;
            fields.push((key, self.value(depth + 1)?));
            if self.taken(b'}') {
                return Ok(Json::Object(fields));
            }
            self.expect(b',', "fields are parted by , and end with }")?;
        }
    }

    /// Most keys of an object: keeps the search for double keys short.
    const FIELDS_MAX: usize = 64;

    fn array(&mut self, depth: usize) -> Result<Json, CheckpointError> {
        self.expect(b'[', "an array begins with [")?;
        let mut items = Vec::new();
        if self.taken(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.taken(b']') {
                return Ok(Json::Array(items));
            }
            self.expect(b',', "items are parted by , and end with ]")?;
        }
    }

    fn number(&mut self) -> Result<i64, CheckpointError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let size = rest.len() - digits.len() + count;
        let padded = count > 1 && digits.starts_with('0');
        let fraction = matches!(digits.as_bytes().get(count), Some(b'.' | b'e' | b'E'));
        match rest.get(..size).unwrap_or_default().parse() {
            Ok(value) if !padded && !fraction => {
                self.at += size;
                Ok(value)
            }
            _ => Err(self.error("an integer of 64 bits must come here")),
        }
    }

    fn string(&mut self) -> Result<String, CheckpointError> {
        self.expect(b'"', "a string begins with a quote")?;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(c) = rest.chars().next() else {
                return Err(self.error("a string is not closed"));
            };
            if c < ' ' {
                return Err(self.error("a control character in a string"));
            }
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => out.push(self.escaped()?),
                c => out.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, CheckpointError> {
        let byte = self.peek();
        let simple = match byte {
            Some(b'"' | b'\\' | b'/') => byte.map(char::from),
            Some(b'b') => Some('\x08'),
            Some(b'f') => Some('\x0c'),
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            Some(b't') => Some('\t'),
            _ => None,
        };
        let (size, value) = match byte {
            Some(b'u') => {
                let hex = self.text.get(self.at + 1..self.at + 5).unwrap_or_default();
                let hex = if hex.bytes().all(|b| b.is_ascii_hexdigit()) { hex } else { "" };
                (5, u32::from_str_radix(hex, 16).ok().and_then(char::from_u32))
            }
            _ => (1, simple),
        };
        let value = value.ok_or_else(|| self.error("an escape that is not taken here"))?;
        self.at += size;
        Ok(value)
    }
}
